/**
 * @file The networks that ShiftAddNAS retrained on ImageNet (cv-search 6.2; layers 2-4-5-5), and the BossNet-T (ICCV'21) that
 * stands beside them in the released code.
 */
import type { Architecture } from '../architecture.js';
import { header } from '../models/contract.js';
import { attention } from '../../operators/attention/family.js';
import { defaultFamilies } from '../../operators/registry.js';
import { hytraNetwork } from './networks.js';
import { checkHytra, hytraImagenet, NetworkForm, type HytraSettings } from './options.js';

/** A attention, C convolution, D addition, S shift; a word for each stage. */
export const publishedNetworks = {
  'mix-v2': 'C C SDCAS AAACAAAAA',
  'mix-v3': 'CC CCCC SCADD AACAA',
  'mix-v4': 'CC CSCC SCASS AACAA',
  'bossnet-t': 'C C CCCAC AAACAAAAA',
} as const;

export type PublishedNetwork = keyof typeof publishedNetworks;

export interface RetrainingOptions extends Partial<
  Pick<HytraSettings, 'input' | 'classes' | 'lastStride' | 'stageChannels'>
> {
  /** Family of the shifts: pot.q when absent, as in most published networks; pot.ps in one. */
  readonly shift?: string;
}

/** A published network; T0 for a last stride of 2, T1 for 1. @throws OptionError for images that it cannot take */
export function publishedNetwork(name: PublishedNetwork, options: RetrainingOptions = {}): Architecture {
  const [conv, quantised, add] = defaultFamilies;
  const { shift = quantised!, ...rest } = options;
  const letters: Readonly<Record<string, string>> = { A: attention.name, C: conv!, D: add!, S: shift };
  const families = publishedNetworks[name]
    .split(' ')
    .map((stage) => [...stage].map((letter) => letters[letter]!));
  const settings = checkHytra(name, { ...hytraImagenet, ...rest, network: NetworkForm.Retrained });
  return {
    ...header(name, { ...settings, families: [], first: conv!, last: conv! }),
    ...hytraNetwork(settings, families),
  };
}
