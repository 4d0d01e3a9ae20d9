#!/usr/bin/env bash
# Every measurement that wants a CUDA device, in at most eight minutes a call; what a call leaves is
# done by the next one, and what OUT holds already is not run again. Writes OUT/all.json.
# usage: benchmarks/gpu.sh OUT [MODEL.onnx...]     without a model: a ResNet-50 made here
# PYTHON (default python) has bnfold[dev]; RIVALS, where set, is the rivals' python (README.md).
# STUDY_DATA, where set, is a data set of small images (cifar10 in $BNFOLD_DATA, or its folder).
set -u
[ $# -ge 1 ] || { echo "usage: gpu.sh OUT [MODEL.onnx...]" >&2; exit 2; }
out=$1
shift
python=${PYTHON:-python}
here=$(cd "$(dirname "$0")" && pwd)
limit=${LIMIT_S:-470}
mkdir -p "$out" || exit 6
left=0

once() { # once NAME COMMAND...: stdout to NAME, kept only if the command ended well
    local name=$1 room=$((limit - SECONDS))
    shift
    [ -s "$out/$name" ] && { echo "have $name"; return; }
    [ "$room" -lt 20 ] && { echo "left $name"; left=$((left + 1)); return; }
    echo "run  $name ($SECONDS s)"
    if timeout "$room" "$@" >"$out/$name.part" 2>"$out/$name.log"; then
        mv "$out/$name.part" "$out/$name"
    else
        echo "fail $name: $(cat "$out/$name.log" "$out/$name.part" | tail -n 1)"
        left=$((left + 1))
    fi
}

once doctor.json "$python" -m bnfold_cli doctor --json
if [ $# -eq 0 ]; then
    once resnet50.txt "$python" "$here/resnet50.py" "$out/resnet50.onnx"
    [ -s "$out/resnet50.onnx" ] && echo made >"$out/resnet50.txt"
    set -- "$out/resnet50.onnx"
fi
once pytest.txt "$python" -m pytest -m gpu "$here/../tests"
for model in "$@"; do
    name=$(basename "$model" .onnx)
    once "$name.folded.txt" "$python" "$here/fold_once.py" "$model" "$out/$name.folded.onnx"
done
rows=(
    'tf32off {"use_tf32": "0"}'
    'tf32 {"use_tf32": "1"}'
    'nhwc {"use_tf32": "1", "prefer_nhwc": "1"}'
    'graph {"use_tf32": "1", "enable_cuda_graph": "1"}'
    'heuristic {"use_tf32": "1", "cudnn_conv_algo_search": "HEURISTIC"}'
)
for row in "${rows[@]}"; do
    for model in "$@"; do
        name=$(basename "$model" .onnx)
        once "$name.${row%% *}.json" "$python" "$here/gpu_rows.py" "${row#* }" \
            "$model" "$out/$name.folded.onnx"
    done
done
once training.txt "$python" "$here/training.py" --json "$out/training.json"
once training_inception.txt "$python" "$here/training.py" --models bn-inception,inception \
    --json "$out/training_inception.json"
if [ -n "${STUDY_DATA:-}" ]; then # Figures 2 and 3, every net on three seeds, and 4: some eight calls
    once reproduce_inception.json "$python" -m bnfold_cli reproduce inception --json --device cuda \
        --data "$STUDY_DATA" --set others=3 --set images=50000 --set tests=10000 --set pixels=32 \
        --set width=0.5 --set steps=15000 --set grid_steps=1500 --set every=250 \
        --out "$out/inception" --resume
    once reproduce_ensemble.json "$python" -m bnfold_cli reproduce ensemble --json --device cuda \
        --data "$STUDY_DATA" --set images=50000 --set tests=10000 --set pixels=32 \
        --set width=0.5 --set steps=15000 --set every=1000 --out "$out/ensemble" --resume
fi
once tool_cost.txt "$python" "$here/tool_cost.py" "$1" --rounds 3 --json "$out/tool_cost.json" \
    ${RIVALS:+--rivals "$RIVALS"}
if [ -n "${RIVALS:-}" ]; then
    once coverage.txt "$python" "$here/coverage.py" --models "$(dirname "$1")" --rivals "$RIVALS"
fi

"$python" - "$out" <<'PYTHON'
import json, pathlib, sys
folder = pathlib.Path(sys.argv[1])
found = {}
for path in sorted([*folder.glob("*.json"), *folder.glob("*.txt")]):
    if path.name == "all.json":
        continue
    text = path.read_text()
    found[path.stem if path.suffix == ".json" else path.name] = (
        json.loads(text) if path.suffix == ".json" else text
    )
whole = folder / "all.json.part"
whole.write_text(json.dumps(found) + "\n")
whole.rename(folder / "all.json")
print("wrote", folder / "all.json")
PYTHON
[ "$left" -eq 0 ] || echo "$left left: call again"
