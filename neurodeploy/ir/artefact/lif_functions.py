"""The bodies of LIFs in standard ONNX, made of pieces: a lasting current or none, one threshold or one a channel."""

from __future__ import annotations

_ACTIVATION = """
  two = Constant <value_int = 2> ()
  unit = Constant <value_int = 4096> ()
  fraction = Constant <value_int = 64> ()
  weight_exp = Constant <value_int: int = @weight_exp> ()
  weight_gain = Pow (two, weight_exp)
  gain = Mul (weight_gain, fraction)
  gain_int = Cast <to = 6> (gain)
  x_int = Cast <to = 6> (x)
  activation = Mul (x_int, gain_int)
  bias_exp = Constant <value_int: int = @bias_exp> ()
  bias_gain = Pow (two, bias_exp)
  bias_gain_int = Cast <to = 6> (bias_gain)
  bias_int = Cast <to = 6> (bias_mant)
  bias = Mul (bias_int, bias_gain_int)"""

_CURRENT = """
  current = Add (activation, bias)"""

_LASTING_CURRENT = """
  blocks = Constant <value_ints: ints = @steps> ()
  others = Constant <value_ints = [-1]> ()
  lines = Concat <axis = 0> (blocks, others)
  activations = Reshape (activation, lines)
  silent = Constant <value = int32 {0}> ()
  synapses = Shape <start = 1> (activations)
  silence = Expand (silent, synapses)
  du = Constant <value_int: int = @du> ()
  lasts = Sub (unit, du)
  last_current, flows = Scan <num_scan_inputs = 1, body = flow (int32[?] u, int32[?] a)
      => (int32[?] u_next, int32[?] u_after) {
    u_wide = Cast <to = 7> (u)
    u_product = Mul (u_wide, lasts)
    u_quotient = Div (u_product, unit)
    u_kept = Cast <to = 6> (u_quotient)
    u_next = Add (u_kept, a)
    u_after = Identity (u_next)
  }> (silence, activations)
  places = Shape (activation)
  flowing = Reshape (flows, places)
  current = Add (flowing, bias)"""

_MEMBRANE = """
  steps = Constant <value_ints: ints = @steps> ()
  rest = Constant <value_ints = [-1]> ()
  rows = Concat <axis = 0> (steps, rest)
  currents = Reshape (current, rows)
  zero = Constant <value = int32 {0}> ()
  neurons = Shape <start = 1> (currents)
  start = Expand (zero, neurons)
  dv = Constant <value_int: int = @dv> ()
  keep = Sub (unit, dv)"""

_FIRE = """
  last, spikes, membranes = Scan <num_scan_inputs = 1, body = step (int32[?] v, int32[?] u)
      => (int32[?] v_next, uint8[?] s, int32[?] v_after) {
    v_wide = Cast <to = 7> (v)
    product = Mul (v_wide, keep)
    quotient = Div (product, unit)
    kept = Cast <to = 6> (quotient)
    v_before = Add (kept, u)
    fires = Greater (v_before, ceiling_int)
    holds = Not (fires)
    holds_int = Cast <to = 6> (holds)
    v_next = Mul (v_before, holds_int)
    s = Cast <to = 2> (fires)
    v_after = Identity (v_next)
  }> (start, currents)
  shape = Shape (x)
  y = Reshape (spikes, shape)
  membrane = Reshape (membranes, shape)
}"""

_VTH = """
  vth = Constant <value_int: int = @vth> ()
  ceiling = Mul (vth, fraction)
  ceiling_int = Cast <to = 6> (ceiling)"""

_THRESHOLDS = """
  fraction_int = Cast <to = 6> (fraction)
  ceilings = Mul (thresholds, fraction_int)
  values = Shape (x)
  ceilings_all = Expand (ceilings, values)
  ceilings_rows = Reshape (ceilings_all, rows)
  first = Constant <value_int = 0> ()
  ceiling_int = Gather <axis = 0> (ceilings_rows, first)"""


def _lif(name: str, attributes: str, ports: str, current: str, ceiling: str) -> str:
    """A LIF of its pieces; `ceiling` computes the threshold in membrane units, of all neurons or of each."""
    head = f"{name} <{attributes}, weight_exp, bias_exp, steps> ({ports}) => (y, membrane) {{"
    return f"{head}{_ACTIVATION}{current}{_MEMBRANE}{ceiling}{_FIRE}"


LIF = _lif("Lif", "vth, dv", "x, bias_mant", _CURRENT, _VTH)
CUBA_LIF = _lif("CubaLif", "vth, dv, du", "x, bias_mant", _LASTING_CURRENT, _VTH)
LIF_GROUPS = _lif("LifGroups", "vth, dv", "x, bias_mant, thresholds", _CURRENT, _THRESHOLDS)
CUBA_LIF_GROUPS = _lif("CubaLifGroups", "vth, dv, du", "x, bias_mant, thresholds", _LASTING_CURRENT, _THRESHOLDS)
