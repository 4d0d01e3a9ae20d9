#!/usr/bin/env bash
# Every measurement that wants a CUDA device, resumable: what its output file already holds is not
# run again. usage: benchmarks/gpu.sh OUT_FOLDER MODEL.onnx...   (PYTHON=python by default)
set -u
out=$1
shift
python=${PYTHON:-python}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"

once() { # once NAME COMMAND...: stdout to NAME, kept only if the command ended well
    local name=$1
    shift
    [ -s "$out/$name" ] && { echo "have $name"; return; }
    echo "run  $name"
    if timeout 240 "$@" >"$out/$name.part" 2>"$out/$name.log"; then
        mv "$out/$name.part" "$out/$name"
    else
        echo "fail $name: $(tail -n 1 "$out/$name.log")"
    fi
}

once doctor.json "$python" -m bnfold_cli doctor --json
once pytest.txt "$python" -m pytest -m gpu "$here/../tests"
for model in "$@"; do
    name=$(basename "$model" .onnx)
    once "$name.folded.txt" "$python" "$here/fold_once.py" "$model" "$out/$name.folded.onnx"
    for row in '{"use_tf32": "0"}' '{"use_tf32": "1"}' '{"use_tf32": "1", "prefer_nhwc": "1"}'; do
        key=$(echo "$row" | tr -dc 'a-z0-9')
        once "$name.$key.json" "$python" "$here/gpu_rows.py" "$row" "$model" "$out/$name.folded.onnx"
    done
done
"$python" - "$out" <<'PYTHON'
import json, pathlib, sys
folder = pathlib.Path(sys.argv[1])
found = {p.stem: json.loads(p.read_text()) for p in sorted(folder.glob("*.json")) if p.name != "all.json"}
(folder / "all.json").write_text(json.dumps(found) + "\n")
print("wrote", folder / "all.json")
PYTHON
