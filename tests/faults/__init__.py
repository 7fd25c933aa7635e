"""Faults of every kind at every step, in seeded runs, and an independent look at what they leave.

python -m tests.faults                   each fault once, as CI does
python -m tests.faults --seed 1234       one run again
"""
