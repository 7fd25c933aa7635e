"""How fast stac-rucio is, beside the bare Rucio client or server doing the same.

python -m benchmarks [NAME…] [--database sqlite|postgresql] [--size small|full] [--json FILE]
"""
