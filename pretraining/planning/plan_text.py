"""A plan as text: each figure with its formula, and the sources of the formulas and figures."""

from .plan import USEFUL_SHARE, Plan

SOURCES = (
    "[1] about 20 make the best model for the FLOP spent: Hoffmann et al., arXiv 2203.15556",
    "[2] Kaplan et al., arXiv 2001.08361, section 2.1; PaLM, arXiv 2204.02311, appendix B; section 4.1 for MFU and HFU",
    "[3] a third more work: Korthikanti et al., arXiv 2205.05198, section 5",
    "[4] 4 + 4 + 8 bytes a parameter with AdamW: ZeRO, arXiv 1910.02054, section 3.1; Muon stores 4 for a block's matrices",
    "[5] 34 bytes a token, layer and unit of width in 16 bits: Korthikanti et al., arXiv 2205.05198, table 2",
)


def format_plan(planned: Plan) -> str:
    """The plan as text: each figure with its formula, then the sources of the formulas."""
    shape, machine, memory = planned.shape, planned.hardware, planned.memory
    rows = [
        ("model", f"{shape.layers} layers, {shape.width} wide, {shape.heads} heads, context {shape.context},"
                  f" vocabulary {shape.vocabulary:,}"),
        ("parameters", f"{planned.parameters:,}"),
        ("tokens", f"{planned.tokens:,}: {planned.steps:,} steps of {planned.batch_tokens:,};"
                   f" {planned.tokens / planned.parameters:.3g} a parameter [1]"),
        ("a device's step", f"{planned.device_batch} sequences at once, {planned.accumulation} times"),
        ("FLOP", f"{planned.flops:.3g} = tokens x (6 weights in products + 12 layers x width x context) [2]"),
        ("hardware", f"{machine.name}: {machine.devices} x {machine.device}, {machine.peak_flops / 1e12:.3g} TFLOP/s each"
                     f" in {machine.precision}"),
        ("time", f"{_span(planned.hours)} at {planned.mfu:.0%} of the peak (MFU)"
                 + (f"; the forward pass is done twice, so devices work at {planned.mfu / USEFUL_SHARE:.0%} (HFU) [2, 3]"
                    if planned.activation_checkpointing else "")),
        ("price", "unknown; usd_per_hour gives it" if planned.usd is None else
                  f"{planned.usd:,.2f} USD at {machine.usd_per_hour:,.2f} USD an hour"),
        ("memory a device", f"{_size(memory.total)} of {_size(machine.memory_bytes)}, an estimate"),
        ("  weights", f"{_size(memory.weights)}, fp32 [4]"),
        ("  gradients", f"{_size(memory.gradients)}, fp32 [4]"),
        ("  optimizer", f"{_size(memory.optimizer)}, {planned.optimizer} [4]"),
        ("  buffers", f"{_size(memory.buffers)}: copies in low precision, what devices exchange"),
        ("  activations", f"{_size(memory.activations)}, logits among them [5]"),
        ("fits", {True: "yes", False: "no", None: "unknown"}[planned.fits]),
        *(("  would fit", remedy) for remedy in planned.remedies),
    ]  # fmt: skip
    lines = [f"{name:<16} {value}" for name, value in rows]
    return "\n".join([*lines, "", *SOURCES, *(f"    {source}" for source in machine.sources)])


def _span(hours: float) -> str:
    if hours * 3600 < 120:
        return f"{hours * 3600:.3g} seconds"
    if hours < 2:
        return f"{hours * 60:.3g} minutes"
    return f"{hours:,.1f} hours" if hours < 48 else f"{hours / 24:,.1f} days ({hours:,.0f} hours)"


def _size(size: int | None) -> str:
    return "unknown" if size is None else f"{size / 1e9:.3g} GB"
