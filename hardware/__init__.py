"""The pedal seen from the PC: links, verify, reports."""
