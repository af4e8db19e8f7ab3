#!/bin/bash
# The next model of the app, from the data to the file: recipes/needle-demo.sh FRAMES OUT
#
# FRAMES holds folders of real frames and clips without needles, one a source (`sources` to learn from, `held_out` to measure on).
# OUT is where everything goes; what is there already is not made again.
set -euo pipefail
frames=$1 out=$2
recipes=$(dirname "$0")
sources=(muscle_us_timtrack breast_us_busuc usgra_nerve_vessel lung_us_pocus hip_us_spj phantom_us_itkpocus)
held_out=(carotid_us_ccaus fetal_head_hc18 breast_us_breast_tcia)

tissue() { for source in "$@"; do printf '%s\n' --tissue "$frames/$source"; done; }
simulate() { # NAME ARGUMENTS: one set of procedures
    local name=$1; shift
    [ -e "$out/$name" ] || sonoseg simulate needle --out "$out/$name" "$@"
}

# What the first stage learns from, and what the second: other needles in other frames of the same sources, twice as many, with shallow
# needles in real tissue, of which the first saw none.
mapfile -t real < <(tissue "${sources[@]}")
simulate real-1 --procedures 1500 --frames 2 --seed 1402 "${real[@]}"
simulate none-1 --procedures 300 --frames 2 --seed 1403 --config "$recipes/simulator/none.toml" "${real[@]}"
simulate sim-1 --procedures 2600 --frames 2 --seed 1400
simulate shallow-1 --procedures 500 --frames 2 --seed 1401 --config "$recipes/simulator/shallow.toml"
mapfile -t stills < <(tissue muscle_us_timtrack breast_us_busuc usgra_nerve_vessel hip_us_spj)
simulate real-2 --procedures 2400 --frames 2 --seed 2402 "${stills[@]}"
simulate flat-2 --procedures 800 --frames 2 --seed 2404 --config "$recipes/simulator/shallow.toml" "${stills[@]}"
simulate none-2 --procedures 500 --frames 2 --seed 2403 --config "$recipes/simulator/none.toml" "${stills[@]}"
simulate sim-2 --procedures 5000 --frames 2 --seed 2400
simulate shallow-2 --procedures 800 --frames 2 --seed 2401 --config "$recipes/simulator/shallow.toml"
# The third learns longest, from those of the second and twice as many others.
simulate real-3 --procedures 4400 --frames 2 --seed 3402 "${stills[@]}"
simulate flat-3 --procedures 1600 --frames 2 --seed 3404 --config "$recipes/simulator/shallow.toml" "${stills[@]}"
simulate none-3 --procedures 1000 --frames 2 --seed 3403 --config "$recipes/simulator/none.toml" "${stills[@]}"
simulate sim-3 --procedures 8500 --frames 2 --seed 3400
simulate shallow-3 --procedures 1600 --frames 2 --seed 3401 --config "$recipes/simulator/shallow.toml"

train() { # STAGE ARGUMENTS: goes on where it was stopped
    local stage=$1; shift
    mkdir -p "$out/data-$stage/procedures"
    for procedure in "$out"/*-"$stage"/procedures/*; do
        name=$(basename "$(dirname "$(dirname "$procedure")")")
        [ "$name" = "data-$stage" ] && continue
        ln -sfn "$(realpath "$procedure")" "$out/data-$stage/procedures/${name%-"$stage"}-$(basename "$procedure")"
    done
    sonoseg train "$@" --data "$out/data-$stage" --out "$out/stage-$stage" --continue
}
epochs() { grep -c train_loss "$out/stage-$1/metrics.jsonl" 2> /dev/null || true; }
end_at() { # STAGE EPOCHS: a run is ended once it has so many epochs behind it
    until [ "$(epochs "$1")" = "$2" ]; do sleep 1; done
    pkill -KILL -f "sonoseg train .* --out $out/stage-$1 "
}
train 1 "$recipes/needle-demo-128.toml"
train 2 "$recipes/needle-demo.toml" --init "$out/stage-1"
mkdir -p "$out/data-3/procedures"
for procedure in "$out"/data-2/procedures/*; do
    ln -sfn "$(realpath "$procedure")" "$out/data-3/procedures/two-$(basename "$procedure")"
done
longer=(--set network.dropout=0 --set data.val_share=0.008 --set train.updates_per_epoch=350)
# Of 24 epochs that were planned there was time for ten; the fourth stage goes on from there and brings the rate down.
if [ "$(epochs 3)" != 10 ]; then
    end_at 3 10 &
    train 3 "$recipes/needle-demo.toml" --init "$out/stage-2" "${longer[@]}" --set train.epochs=24 --set train.optimiser.learning_rate=0.0015 || true
    wait
fi
ln -sfn data-3 "$out/data-4"
train 4 "$recipes/needle-demo.toml" --init "$out/stage-3/last.safetensors" "${longer[@]}" --set train.epochs=8
# Once more from the same data, for longer.
ln -sfn data-3 "$out/data-5"
train 5 "$recipes/needle-demo.toml" --init "$out/stage-4/last.safetensors" "${longer[@]}" --set train.epochs=22

# What its confidence is fitted to: other seeds, a third of them in sources of which only the first stage saw anything, or none did.
mapfile -t others < <(tissue lung_us_pocus dicom_us_samples)
simulate calibrate-sim --procedures 400 --frames 2 --seed 9310
simulate calibrate-new --procedures 250 --frames 2 --seed 9311 "${others[@]}"
simulate calibrate-old --procedures 150 --frames 2 --seed 9312 "${stills[@]}"
mkdir -p "$out/calibrate/procedures"
for set in sim new old; do
    for procedure in "$out/calibrate-$set"/procedures/*; do
        ln -sfn "$(realpath "$procedure")" "$out/calibrate/procedures/$set-$(basename "$procedure")"
    done
done
sonoseg calibrate "$out/stage-5" --data "$out/calibrate" --split all --learned-from "$out/data-3" --dtype f16 --out "$out/demo.safetensors"

# What is held out: other seeds, and other sources of real frames.
mapfile -t other < <(tissue "${held_out[@]}")
simulate held-out-sim --procedures 60 --frames 6 --seed 9200
simulate held-out-shallow --procedures 10 --frames 12 --seed 5511 --difficulty simple --config "$recipes/simulator/shallow.toml"
simulate held-out-real --procedures 60 --frames 6 --seed 9201 "${other[@]}"
# Looked at once.
simulate fresh-sim --procedures 60 --frames 6 --seed 9600
simulate fresh-shallow --procedures 10 --frames 12 --seed 5711 --difficulty simple --config "$recipes/simulator/shallow.toml"
simulate fresh-real --procedures 60 --frames 6 --seed 9601 "${other[@]}"
