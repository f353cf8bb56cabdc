#!/bin/sh
echo ran >> "$1/journal"
