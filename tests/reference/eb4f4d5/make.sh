#!/usr/bin/env bash
# Makes the files of this folder with the program of eb4f4d5, from the root of the repository:
#
#   tests/reference/eb4f4d5/make.sh PROGRAM WORK_FOLDER
#
# README.md says what they are. Where a half-done run was stopped differs from time to time; its end does not.
set -eu
sonoseg=$1
work=$2
here=tests/reference/eb4f4d5
recipes=$here/recipes
mkdir -p "$work"
export RAYON_NUM_THREADS=1

tiny=(--set network.preset=tiny --set network.width=16 --set network.depth=3 --set network.heads=2
    --set "network.taps=[1, 2, 3]" --set network.feature_size=4)
decoder=(--set mae.decoder_width=16 --set mae.decoder_depth=1 --set mae.decoder_heads=2)
quick=(--device flex --set train.optimiser.layer_decay=1.0 --set train.optimiser.learning_rate=3e-3)

train() { # RUN RECIPE DATA OPTION..
    "$sonoseg" train "$recipes/$2.toml" --data "$3" --out "$work/$1" "${@:4}"
}

# Data: those that the tests simulate again, and more to learn from.
"$sonoseg" simulate needle --procedures 6 --frames 5 --seed 21 --difficulty simple --out "$work/data"
"$sonoseg" simulate needle --procedures 60 --frames 4 --seed 455 --difficulty simple --out "$work/more"

# A small picture.
printf 'image_side_px = [112.0, 112.0]\nborder_share = 0.0\n' > "$work/small.toml"
"$sonoseg" simulate needle --procedures 1 --frames 2 --seed 7 --difficulty simple --config "$work/small.toml" --out "$work/small"
cp "$work/small/procedures/p0000/frames/000001.png" $here/picture.png

# Masks of a class: what the shipped model marks.
mkdir -p "$work/raw/images" "$work/raw/masks"
for procedure in "$work"/more/procedures/*; do
    cp "$procedure/frames/000002.png" "$work/raw/images/$(basename "$procedure").png"
done
"$sonoseg" predict app/assets/demo.safetensors "$work/raw/images" --out "$work/marked" --device flex
for mask in "$work"/marked/masks/*; do
    cp "$mask" "$work/raw/masks/$(basename "$mask" .png)"
done
"$sonoseg" ingest "$work/raw" --out "$work/marked-data" --group-by file --classes shaft

# Models.
train unet needle-unet "$work/more" "${quick[@]}" --set network.width=3 --set loss.focal_weight=1.0 --set needle.threshold=0.4 \
    --set preparation.size=64 --set train.patience=0 --epochs 24
train unetr needle-sf-unetr "$work/more" "${quick[@]}" "${tiny[@]}" --set preparation.size=64 --set train.accumulate=1 --epochs 24
train mae needle-mae-v1 "$work/more" "${quick[@]}" "${tiny[@]}" "${decoder[@]}" --set preparation.size=64 --set train.batch=8 \
    --set train.rate_for=update --epochs 4
train class needle-sf-unetr "$work/marked-data" "${quick[@]}" "${tiny[@]}" --set data.class=shaft --set preparation.size=64 \
    --set train.accumulate=1 --epochs 30
mkdir -p $here/models
for model in unet unetr mae class; do
    "$sonoseg" export "$work/$model" --out "$here/models/$model.safetensors"
done

# Runs: one at its end, measured and reported, the same one stopped half-way, and a pre-training stopped half-way.
segment=(needle-sf-unetr "$work/data" --device flex "${tiny[@]}" --set preparation.size=32 --set train.batch=2
    --set train.accumulate=2 --set train.optimiser.layer_decay=1.0 --set train.optimiser.learning_rate=1e-2
    --set data.val_share=0.34 --set augment.noise=0.02 --set train.patience=0 --epochs 12)
mae=(needle-mae-v1 "$work/data" --device flex "${tiny[@]}" "${decoder[@]}" --set preparation.size=32
    --set train.batch=2 --set data.val_share=0.34 --epochs 6)
train segment "${segment[@]}"
"$sonoseg" evaluate "$work/segment" --data "$work/data" --out "$work/segment/evaluation" --device flex
"$sonoseg" report "$work/segment" --device flex

stopped() { # RUN UPDATES OPTION..: the same as train, stopped by Ctrl-C after so many updates or some more.
    set -m # Without it the shell makes background programs deaf to Ctrl-C.
    train "$1" "${@:3}" --save-every 0s &
    set +m
    while [ "$(cat "$work/$1/metrics.jsonl" 2> /dev/null | grep -c step)" -lt "$2" ]; do sleep 0.005; done
    kill -INT $!
    wait $! || [ $? = 130 ]
}
stopped segment-half 15 "${segment[@]}"
stopped mae 20 "${mae[@]}"

rm -rf $here/runs
for run in segment segment-half mae; do
    mkdir -p "$here/runs/$run"
    for file in recipe.toml origins.json splits.json environment.json metrics.jsonl finished.json report.md \
        best.safetensors best-loss.safetensors last.safetensors resume.safetensors evaluation; do
        if [ -e "$work/$run/$file" ]; then cp -r "$work/$run/$file" "$here/runs/$run/"; fi
    done
    # Where the data lie is filled in by the tests.
    sed -i "s|$work/data|DATA|" "$here/runs/$run/environment.json"
done
du -sb $here/models $here/runs $here
