/**
 * @file The layers of a network that a conversion can work on, under one face: convolutions, add layers, linear layers.
 */
import type { LayerForm } from '../nn/module.js';
import { WindowSum, type LayerGeometry } from '../operators/contract.js';
import { conv } from '../operators/conv/family.js';
import type { OperatorFamily } from '../operators/contract.js';
import { OperatorLayer } from '../operators/layer.js';
import type { Network } from '../spaces/network.js';

/** A layer with weights [kernel, kernel, in / groups, out] that may take another form. */
export interface NetworkLayer {
  readonly name: string;
  /** What it sums up; undefined for a layer that no conversion is for: of another family, or pruned. */
  readonly windowSum: WindowSum | undefined;
  readonly geometry: LayerGeometry;
  /** The stored weights themselves, not a copy. */
  readonly weights: Float32Array;
  /** Computes the layer on other weights; a linear layer is a 1x1 convolution here. */
  readonly family: OperatorFamily;
  form: LayerForm | undefined;
}

/** A layer that conversions are for. */
export type ConvertibleLayer = NetworkLayer & { readonly windowSum: WindowSum };

/** All layers with weights, in order of execution. */
export function layersOfNetwork(network: Pick<Network, 'weightLayers'>): readonly NetworkLayer[] {
  return network.weightLayers.map((layer) => {
    const common = {
      name: layer.name,
      weights: layer.parameters[0]!.tensor.data,
      get form() {
        return layer.form;
      },
      set form(form) {
        layer.form = form;
      },
    };
    if (layer instanceof OperatorLayer) {
      const { family, geometry, mask } = layer;
      // With terms left out, or a tensor that has a part in it (the exponent of another norm), it is another sum.
      const isPlain = mask === undefined && family.own === undefined;
      const windowSum = isPlain ? family.windowSum : undefined;
      return Object.assign(common, { windowSum, family, geometry });
    }
    const { inFeatures: inChannels, outFeatures: outChannels } = layer;
    const geometry = { inChannels, outChannels, kernel: 1, stride: 1, padding: 0, groups: 1 };
    return Object.assign(common, { windowSum: WindowSum.Products, family: conv, geometry });
  });
}

export function isConvertible(layer: NetworkLayer): layer is ConvertibleLayer {
  return layer.windowSum !== undefined;
}
