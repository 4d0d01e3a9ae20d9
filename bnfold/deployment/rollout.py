"""`deploy`: a folder that can be copied to the target, and nothing else is needed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx

from bnfold import onnxfile
from bnfold.deployment import golden, int8, lowering, manifest, standalone, targets, triton
from bnfold.deployment.checking import check_apart
from bnfold.deployment.halves import Narrowed, narrowed
from bnfold.deployment.order import Layout, Order, Precision, order
from bnfold.deployment.reference import reference
from bnfold.deployment.result import Deployment
from bnfold.deployment.smoke.words import MANIFEST, PROVIDERS
from bnfold.errors import CheckFailed, EnvironmentLacks, ModelError, UsageError
from bnfold.folding.model import fold_in_place
from bnfold.folding.report import FoldReport
from bnfold.show import show
from bnfold.verification import Verdict, verify
from bnfold.verification.cases import Case
from bnfold.verification.runtime import Runtime
from bnfold.verification.subject import Port, Subject, subject

SCRIPT = "check.py"
_WORK = ".work"
_BFLOAT16_OPSET = 22  # the first in which Conv, pooling and normalisation take bfloat16
_PER_CHANNEL_OPSET = 13  # the first in which DequantizeLinear has an axis


def deploy(model: str | os.PathLike[str], to: str | os.PathLike[str], **asked: Any) -> Deployment:
    """Fold `model`, fit it to the target, verify it, and write the folder `to` with the proof.

    An older deployment at `to` is replaced whole or not at all.

    Args:
        model: an ONNX file; what is folded already stays as it is.
        to: the folder.
        **asked: the keywords of `bnfold.deployment.order.order`: `fold` (Options), `target`
            ("ort:1.18"; this environment's onnxruntime by default), `layout` ("plain", "triton"),
            `dtype` ("float32", "float16", "bfloat16"), `quantize` ("int8") with `calibration`,
            `provider` ("cpu", "cuda", "tensorrt"), `batches`, `shapes`, `instances`, `seed`,
            `timeout_s`, `progress` (called with what is done now).

    Raises:
        UsageError: a missing file, an unknown word, a folder that is no deployment.
        ModelError: the model cannot be used.
        CheckFailed: not equivalent, or a target too old for an operator.
        EnvironmentLacks: no onnxruntime, or a type that the provider does not compute.
        DataError: the folder cannot be written, or calibration data that do not fit.
    """
    place, wanted = Path(to), order(**asked)
    manifest.check_place(place)
    with onnxfile.opened(model) as source:
        for path in (source.path, *source.data_files):
            if place.resolve() in path.resolve().parents:
                what = "the model lies in the folder that is to be replaced"
                raise UsageError(what, where=str(to))
        with onnxfile.replacing_folder(place, mark=MANIFEST) as fresh, ExitStack() as open_files:
            made = _Making(source, wanted, fresh, open_files).made()
    return replace(made, folder=place)


class _Making:
    """One folder on its way: the model, its proof, the manifest, and the check of them all."""

    def __init__(
        self, source: onnxfile.ModelFile, asked: Order, folder: Path, open_files: ExitStack
    ) -> None:
        self.source, self.order, self.folder = source, asked, folder
        self.open_files = open_files
        self.name = triton.model_name(source.path.stem)
        plain = asked.layout is Layout.PLAIN
        self.home = folder if plain else folder / self.name / "1"
        self.work = folder / _WORK
        self.notes: list[str] = []
        self._spread: list[dict[str, Any]] = []
        for path in (self.home, self.work):
            path.mkdir(parents=True, exist_ok=True)

    def made(self) -> Deployment:
        """Step by step; any exception leaves the old folder as it was."""
        original_path = reference(self.source, self.order, self.work)
        lowered = original_path != self.source.path
        report, model, converted = self._float_model()
        narrow = self.order.precision is not Precision.FLOAT32
        wide_path = (self.work if narrow else self.home) / "model.onnx"
        later = bool(converted) or lowered  # else gate 1 folds the original again, and compares
        if not later:
            self._stamp(model, report)
        onnxfile.write(model, wide_path, data=self.source.data)
        del model
        verdict = self._verified(original_path, wide_path, converted)
        if later:
            with onnxfile.opened(wide_path) as file:
                self._stamp(file.model, report)
                onnxfile.write(file.model, wide_path, data=file.data)
        original = self._subject(original_path, "original")
        with Runtime(timeout_s=self.order.timeout_s) as runtime:
            cases = golden.inputs(original, self.order, runtime)
            precision, wide = self._narrowed(wide_path, cases, runtime)
            deployed = self._subject(self.home / "model.onnx", "deployed")
            self.order.told("golden answers")
            if wide is None and golden.is_half(deployed):  # a fold rounds its weights anew
                wide = original
            known = original if wide is None else deployed
            found = golden.answers(known, cases, runtime, wide)
        proof = golden.write(found, self.folder, self.home)
        self._write_extras(deployed, found)
        shutil.rmtree(self.work)
        parts = {
            **self._parts(deployed, report, verdict),
            "precision": precision,
            "golden": proof,
        }
        manifest.write(self.folder, parts)
        self.order.told("checking the folder")
        return Deployment(
            folder=self.folder,
            files=tuple(sorted(p.relative_to(self.folder).as_posix() for p in self._files())),
            target=str(self.order.target),
            verdict=verdict,
            report=report,
            manifest=parts,
            check=self._checked(),
            notes=tuple(self.notes),
        )

    def _float_model(self) -> tuple[FoldReport, onnx.ModelProto, tuple[lowering.Newer, ...]]:
        """Folded and within the target; in float, whatever is made of it after."""
        self.order.told("folding")
        model, data = self.source.model, self.source.data  # opened for us alone
        self._spread = int8.spreads(model, data) if self.order.precision is Precision.INT8 else []
        self.source = replace(self.source, model=onnx.ModelProto())
        report = fold_in_place(model, self.order.fold, data=data)
        # this machine has to run it too, and a newer runtime takes what an older one takes
        fit = min(self.order.target, targets.installed(), key=lambda one: one.limits)
        low = lowering.lowered(model, fit)
        least = {Precision.BFLOAT16: _BFLOAT16_OPSET, Precision.INT8: _PER_CHANNEL_OPSET}
        needed = least.get(self.order.precision, 0)
        up = lowering.raised(low.model, needed, fit, self.order.precision.value)
        return report, up.model, (*low.converted, *up.converted)

    def _stamp(self, model: onnx.ModelProto, report: FoldReport) -> None:
        if report.folded:
            onnxfile.stamp(model, self.source.sha256, len(report.folded), self.order.fold)

    def _verified(
        self, original: Path, path: Path, converted: tuple[lowering.Newer, ...]
    ) -> Verdict:
        asked = self.order
        asked.told("verifying")
        verdict = verify(
            original,
            path,
            batches=asked.batches,
            shapes=asked.shapes,
            seed=asked.seed,
            timeout_s=asked.timeout_s,
        )
        if not verdict.ok and converted:
            raise lowering.refusal(asked.target, converted, f"converted, it is {verdict.sentence}")
        if not verdict.ok:
            raise CheckFailed(verdict.sentence, where=show(self.source.path, 300))
        return verdict

    def _narrowed(
        self, wide_path: Path, cases: Sequence[Case], runtime: Runtime
    ) -> tuple[dict[str, Any], Subject | None]:
        """The narrow model beside its proof, and the float model that it came from."""
        precision = self.order.precision
        if precision is Precision.FLOAT32:
            return {"dtype": precision.value}, None
        self.order.told(precision.value)
        wide = self._subject(wide_path, "float32")
        given = self._calibration(wide)
        path = self.home / "model.onnx"
        if precision is Precision.INT8:
            spread = int8.quantise(wide, path, given, self.order.provider)
            told: dict[str, Any] = {**spread, "before": self._spread}
        else:
            made = narrowed(wide.data.whole(wide.model), precision.value, (*cases, *given))
            onnxfile.write(made.model, path)
            told = self._ranges(made)
        narrow = self._subject(path, precision.value)
        if self._runs_here(narrow, runtime):
            told["agreement"] = int8.agreement(wide, narrow, given or cases, runtime)
        return {"dtype": precision.value, **told}, wide

    def _subject(self, path: Path, label: str) -> Subject:
        """With a label of its own: sessions are told apart by it."""
        return replace(self.open_files.enter_context(subject(path, label, self.work)), label=label)

    def _calibration(self, wide: Subject) -> tuple[Case, ...]:
        if self.order.calibration is None:
            return ()
        return int8.calibration_cases(self.order.calibration, wide.inputs)

    def _ranges(self, made: Narrowed) -> dict[str, Any]:
        text = manifest.json_text({"schema": "bnfold.ranges/1", "tensors": made.ranges})
        (self.folder / "ranges.json").write_text(text, "utf-8")
        return {"kept_in_float32": list(made.kept), "narrow_nodes": made.nodes}

    def _runs_here(self, narrow: Subject, runtime: Runtime) -> bool:
        """Whether this machine's CPU computes the type.

        Raises:
            EnvironmentLacks: it does not, and the target is a CPU.
        """
        try:
            runtime.drop(runtime.load(narrow, "none"))
        except ModelError as error:
            if self.order.provider == "cpu":
                kind = self.order.precision.value
                raise EnvironmentLacks(
                    f"ONNX Runtime's CPU provider does not compute {kind}: {error.message}",
                    hint="--provider cuda, or --dtype float16",
                ) from error
            self.notes.append(f"not run here: {error.message}")
            return False
        return True

    def _write_extras(self, deployed: Subject, found: Sequence[golden.Answer]) -> None:
        (self.folder / SCRIPT).write_text(standalone.text(), "utf-8")
        if self.order.layout is Layout.TRITON:
            text = triton.config(
                self.name,
                deployed.inputs,
                [_ranked(port, found[0]) for port in deployed.outputs],
                provider=self.order.provider,
                most=max(self.order.batches),
                instances=self.order.instances,
            )
            (self.folder / self.name / "config.pbtxt").write_text(text, "utf-8")

    def _parts(self, deployed: Subject, report: FoldReport, verdict: Verdict) -> dict[str, Any]:
        model, target = deployed.model, self.order.target
        opsets = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
        return {
            "model": {
                "name": self.name,
                "file": (self.home / "model.onnx").relative_to(self.folder).as_posix(),
                "layout": self.order.layout.value,
                "ir_version": model.ir_version,
                "opsets": opsets,
            },
            "source": manifest.source_part(self.source, report, model),
            "inputs": manifest.ports_part(deployed.inputs),
            "outputs": manifest.ports_part(deployed.outputs),
            "preprocessing": manifest.preprocessing_part(model),
            "runtime": {
                "name": "onnxruntime",
                "target": target.version,
                "most": {"ir_version": target.limits.ir, "opset": target.limits.opset},
                "provider": PROVIDERS[self.order.provider],
            },
            "verification": manifest.verification_part(verdict),
        }

    def _files(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file()]

    def _checked(self) -> dict[str, Any] | None:
        """The folder's own check on this CPU; what only another provider runs is left to it."""
        if self.notes:
            return None
        if self.order.provider != "cpu":
            self.notes.append(f"checked here on the CPU, not on {self.order.provider}")
        return check_apart(self.folder, self.folder / SCRIPT, "cpu")


def _ranked(port: Port, answer: golden.Answer) -> Port:
    """With the rank that the golden answer shows, where the model does not tell it."""
    if port.dims is not None:
        return port
    return replace(port, dims=(None,) * answer.outputs[port.name].ndim)
