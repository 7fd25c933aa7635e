"""What a Rucio server needs before a catalogue can be registered."""
