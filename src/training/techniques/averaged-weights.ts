/**
 * @file The running average of the weights (Polyak and Juditsky 1992; exponential, as in Tarvainen and Valpola, NIPS
 * 2017): the network that is judged and handed over is the average, batch-norm statistics included; the one that trains
 * is as it would be without it.
 *
 * After step t (from 0) the average follows by 1 - min(decay, (1 + t) / (10 + t)), so that the first weights, which are
 * nothing but chance, are soon forgotten.
 */
import { stateOf, type Module, type NamedTensors } from '../../nn/module.js';
import { kernels } from '../../tensor/device.js';
import type { Technique } from '../technique.js';

/** Part of the average that step `step` keeps. */
export function keptShare(decay: number, step: number): number {
  return Math.min(decay, (1 + step) / (10 + step));
}

/** Averages what is trained and the state of `network`; tensors that are never trained are taken as they are. */
export function averagedWeights(network: Pick<Module, 'parameters' | 'buffers'>, decay: number): Technique {
  const trained = network.parameters.filter(({ fixed }) => fixed !== true);
  const live: NamedTensors = stateOf({ parameters: trained, buffers: network.buffers });
  const pairs = [...live].map(([name, { data }]) => ({
    name: `ema:${name}`,
    data: data.slice(),
    live: data,
  }));
  return {
    name: 'ema',
    buffers: pairs,
    afterStep({ step }) {
      const kept = keptShare(decay, step);
      kernels().scale(kept, ...pairs.map(({ data }) => data));
      for (const pair of pairs) kernels().axpy(1 - kept, pair.live, pair.data);
    },
    finish() {
      for (const pair of pairs) pair.live.set(pair.data);
    },
  };
}
