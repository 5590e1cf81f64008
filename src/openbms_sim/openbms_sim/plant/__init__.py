"""The twin's own physics of a battery pack; shares no equation and no parameter file with the estimators."""
