/**
 * @file Functions of two operands, on the tape, broadcast against each other as NumPy does it. The gradient of an
 * operand is summed over the axes along which it was repeated.
 */
import { broadcast, gathered, reductions, type Broadcast } from '../broadcast.js';
import { kernels } from '../device.js';
import { BinaryGradientKind, BinaryKind, UnaryKind } from '../kinds.js';
import type { BroadcastAxis } from '../kernels.js';
import { release, share, take } from '../pool.js';
import { sizeOf } from '../shape.js';
import { contribute, ownedOrNew, passOn, record } from '../tape.js';
import type { Tensor } from '../tensor.js';

/** a + b, then max(0, .) when `relu` (the join of a residual block in one pass). @throws ShapeError */
export function add(a: Tensor, b: Tensor, options: { readonly relu?: boolean } = {}): Tensor {
  const withRelu = options.relu ?? false;
  const { shape, axes } = broadcast('add', a, b);
  const y: Tensor = record(
    'add',
    [a, b],
    shape,
    (out) => {
      if (axes.every((axis) => axis.a && axis.b)) kernels().add(withRelu, a.data, b.data, out);
      else {
        kernels().binary(BinaryKind.Add, axes, a.data, b.data, out);
        if (withRelu) kernels().relu(out, out);
      }
    },
    (dy) => {
      const passed = withRelu ? ownedOrNew(dy) : share(dy);
      if (withRelu) kernels().reluGradient(y.data, dy, passed);
      sumTo(a, axes, 'a', passed);
      sumTo(b, axes, 'b', passed);
      release(passed);
    },
    { tensors: [], output: withRelu },
  );
  return y;
}

/** a - b. @throws ShapeError */
export function sub(a: Tensor, b: Tensor): Tensor {
  const { shape, axes } = broadcast('sub', a, b);
  return record(
    'sub',
    [a, b],
    shape,
    (out) => kernels().binary(BinaryKind.Subtract, axes, a.data, b.data, out),
    (dy) => {
      sumTo(a, axes, 'a', dy);
      contribute(b, (db) => {
        if (axes.every((axis) => axis.b)) kernels().unary(UnaryKind.Negate, 0, 0, dy, db);
        else sumInto(axes, 'b', dy, db, -1);
      });
    },
    { tensors: [], output: false },
  );
}

/** a * b. @throws ShapeError */
export function mul(a: Tensor, b: Tensor): Tensor {
  const { shape, axes } = broadcast('mul', a, b);
  return record(
    'mul',
    [a, b],
    shape,
    (out) => kernels().binary(BinaryKind.Multiply, axes, a.data, b.data, out),
    (dy) => {
      contribute(a, (da) => productGradient(axes, 'a', b.data, dy, da));
      contribute(b, (db) => productGradient(axes, 'b', a.data, dy, db));
    },
    { tensors: factors(a, b), output: false },
  );
}

/** a / b. @throws ShapeError */
export function div(a: Tensor, b: Tensor): Tensor {
  const { shape, axes } = broadcast('div', a, b);
  return record(
    'div',
    [a, b],
    shape,
    (out) => kernels().binary(BinaryKind.Divide, axes, a.data, b.data, out),
    (dy) => {
      contribute(a, (da) =>
        throughTemporary(axes, 'a', da, (full) => byOther(BinaryKind.Divide, axes, 'a', b.data, dy, full)),
      );
      contribute(b, (db) =>
        throughTemporary(axes, 'b', db, (full) =>
          kernels().binaryGradient(BinaryGradientKind.Divisor, axes, a.data, b.data, dy, full),
        ),
      );
    },
    { tensors: b.requiresGradient ? [a, b] : [b], output: false },
  );
}

/** The larger of two; where they are equal, each gets half of the gradient. @throws ShapeError */
export const maximum = (a: Tensor, b: Tensor): Tensor =>
  extreme('maximum', BinaryKind.Maximum, BinaryGradientKind.Maximum, a, b);

/** The smaller of two; where they are equal, each gets half of the gradient. @throws ShapeError */
export const minimum = (a: Tensor, b: Tensor): Tensor =>
  extreme('minimum', BinaryKind.Minimum, BinaryGradientKind.Minimum, a, b);

function extreme(op: string, kind: BinaryKind, slope: BinaryGradientKind, a: Tensor, b: Tensor): Tensor {
  const { shape, axes }: Broadcast = broadcast(op, a, b);
  const swapped = axes.map((axis) => ({ ...axis, a: axis.b, b: axis.a }));
  return record(
    op,
    [a, b],
    shape,
    (out) => kernels().binary(kind, axes, a.data, b.data, out),
    (dy) => {
      contribute(a, (da) =>
        throughTemporary(axes, 'a', da, (full) =>
          kernels().binaryGradient(slope, axes, a.data, b.data, dy, full),
        ),
      );
      contribute(b, (db) =>
        throughTemporary(axes, 'b', db, (full) =>
          kernels().binaryGradient(slope, swapped, b.data, a.data, dy, full),
        ),
      );
    },
    { tensors: [a, b], output: false },
  );
}

/** What the gradients of a product read. */
function factors(a: Tensor, b: Tensor): readonly Tensor[] {
  return [...(b.requiresGradient ? [a] : []), ...(a.requiresGradient ? [b] : [])];
}

type Side = 'a' | 'b';

/** Adds to the gradient of `tensor` that of the result, summed over the axes along which the tensor was repeated. */
function sumTo(tensor: Tensor, axes: readonly BroadcastAxis[], side: Side, dy: Float32Array): void {
  if (axes.every((axis) => axis[side])) passOn(tensor, dy);
  else contribute(tensor, (gradient) => sumInto(axes, side, dy, gradient));
}

/** `to` = scale times dy summed over the axes that the operand does not have, of which there are some. */
function sumInto(
  axes: readonly BroadcastAxis[],
  side: Side,
  dy: Float32Array,
  to: Float32Array,
  scale = 1,
): void {
  const forms = reductions(axes.map((axis) => ({ extent: axis.extent, kept: axis[side] })));
  let from = dy;
  forms.forEach((form, i) => {
    const last = i === forms.length - 1;
    const sums = last ? to : take(form.outer * form.inner);
    kernels().reduceSum(form, last ? scale : 1, from, sums);
    if (from !== dy) release(from);
    from = sums;
  });
}

/** `to` = what `write` fills into a buffer of the result's size, summed over the axes that the operand does not have. */
function throughTemporary(
  axes: readonly BroadcastAxis[],
  side: Side,
  to: Float32Array,
  write: (full: Float32Array) => void,
): void {
  if (axes.every((axis) => axis[side])) {
    write(to);
    return;
  }
  const full = take(sizeOf(axes.map(({ extent }) => extent)));
  write(full);
  sumInto(axes, side, full, to);
  release(full);
}

/** `full` = dy combined with the other operand. */
function byOther(
  kind: BinaryKind,
  axes: readonly BroadcastAxis[],
  side: Side,
  other: Float32Array,
  dy: Float32Array,
  full: Float32Array,
): void {
  const otherSide = side === 'a' ? 'b' : 'a';
  const loops = gathered(axes.map((axis) => ({ extent: axis.extent, a: true, b: axis[otherSide] })));
  kernels().binary(kind, loops, dy, other, full);
}

/** `to` = dy times the other factor, summed; in one pass where that is one sum over a factor that was not repeated. */
function productGradient(
  axes: readonly BroadcastAxis[],
  side: Side,
  other: Float32Array,
  dy: Float32Array,
  to: Float32Array,
): void {
  const forms = reductions(axes.map((axis) => ({ extent: axis.extent, kept: axis[side] })));
  const [form] = forms;
  if (form !== undefined && forms.length === 1 && axes.every((axis) => axis[side === 'a' ? 'b' : 'a']))
    kernels().reduceProducts(form, dy, other, to);
  else throughTemporary(axes, side, to, (full) => byOther(BinaryKind.Multiply, axes, side, other, dy, full));
}
