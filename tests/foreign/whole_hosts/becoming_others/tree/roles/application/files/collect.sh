#!/bin/sh
# Notes by whom it was run.
echo "$1: $(id -un) of $(id -gn)" >>"$HOME/collected"
