"""Faults of every kind at every step, in seeded runs, and an independent look at what they leave.

python -m chaos                   each fault once, as CI does
python -m chaos --seed 1234       one run again
"""
