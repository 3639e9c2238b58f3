"""What a run would need and take on devices that are not there: the same programs as in training,
compiled from shapes alone.
"""
