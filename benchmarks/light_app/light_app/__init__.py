"""A model of any size that nobody has to compute: LIGHT_APP_NUMBERS floats in two arrays. For measurements of the aggregator alone."""
