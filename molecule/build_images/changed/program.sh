#!/bin/sh
# The same after a change of one line.
echo "$GREETING again from the $1"
