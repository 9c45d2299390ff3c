#!/bin/sh
# Make the environment of the labeller, which cannot be heygemd's own: MediaPipe 0.10.21 needs numpy before 2.
#
#     scripts/train/face/make_labeller.sh [FOLDER]      (default .train/labeller)
set -eu
folder=${1:-.train/labeller}
python3.11 -m venv "$folder"
"$folder/bin/pip" install --quiet "mediapipe==0.10.21" "numpy<2"
echo "$folder/bin/python -m scripts.train.face.label --help"
