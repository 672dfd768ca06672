/**
 * @file Softmax and multi-head attention, on the tape.
 */
import { kernels } from '../device.js';
import { take } from '../pool.js';
import { attentionGeometry, type AttentionOptions, requireElements } from '../shape.js';
import { contributeInPlace, give, record } from '../tape.js';
import { Tensor } from '../tensor.js';

/** exp(x) / sum exp(x) over the last dimension. */
export function softmax(x: Tensor): Tensor {
  return softmaxRows('softmax', x, false);
}

/** x - log sum exp(x) over the last dimension. */
export function logSoftmax(x: Tensor): Tensor {
  return softmaxRows('logSoftmax', x, true);
}

function softmaxRows(op: string, x: Tensor, logarithm: boolean): Tensor {
  const columns = x.shape.at(-1) ?? 1;
  const rows = columns === 0 ? 0 : x.size / columns;
  const y = record(
    op,
    [x],
    x.shape,
    (out) => kernels().softmax(rows, columns, logarithm, x.data, out),
    (dy) =>
      contributeInPlace(x, dy, (dx) => kernels().softmaxGradient(rows, columns, logarithm, y.data, dy, dx)),
    { tensors: [], output: true },
  );
  return y;
}

/**
 * Multi-head attention (Vaswani et al., NIPS 2017): softmax(scale q k') v in each of `heads` equal parts of the channels.
 * q [N, T, C], k [N, S, C], v [N, S, D] as linear layers leave them -> [N, T, D]. The N x heads x T x S weights are never
 * held: the gradient computes them again. With `causal`, NaN and infinity in a token may also show in the 31 before it.
 * @throws ShapeError, and RangeError for a count of keys outside [1, S]
 */
export function attention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions): Tensor {
  requireElements('attention', [q, k, v]);
  const g = attentionGeometry('attention', q, k, v, options);
  const logSums = Tensor.temporary([g.batch, g.heads, g.queries]);
  const y = record(
    'attention',
    [q, k, v],
    [g.batch, g.queries, g.heads * g.valueChannels],
    (out) => kernels().attentionForward(g, q.data, k.data, v.data, out, logSums.data),
    (dy) => {
      const [dq, dk, dv] = [take(q.size), take(k.size), take(v.size)];
      kernels().attentionGradient(g, q.data, k.data, v.data, y.data, logSums.data, dy, dq, dk, dv);
      give(q, dq);
      give(k, dk);
      give(v, dv);
    },
    { tensors: [q, k, v, logSums], output: true },
  );
  return y;
}
