#!/bin/sh
# Stands for what is trained with: says which image it is in.
echo "$GREETING from the $1"
