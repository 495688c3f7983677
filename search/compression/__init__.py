"""The methods that a search is held against and finished with."""
