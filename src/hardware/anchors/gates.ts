/**
 * @file Energies and areas that follow from gate counts, beside those of bare operations in 45 nm.
 *
 * One published energy, that of an 8-bit multiplication and its accumulation, is what the others follow from, so it
 * stands here as no agreement. The 32-bit ones are predictions: gates of the same kind, four times as wide. Nothing has a
 * bound: what is claimed is that an energy lies between that without short pulses and that with all of them.
 */
import { elementAreaUm2, elementEnergyPj, loadGateProfile, usualElement } from '../area/profile.js';
import { publishedOperations } from '../area/references.js';
import { Primitive } from '../layer.js';
import type { Anchor } from './anchor.js';

/** Every element with a published operation of its width. */
export function gateAnchors(): readonly Anchor[] {
  const gates = loadGateProfile();
  return publishedOperations().flatMap(({ primitive, bits, areaUm2, energyPj, parts }): Anchor[] => {
    const element = usualElement(gates, primitive, bits);
    if (element === undefined) return [];
    const name = `gates, ${primitive} ${bits} bit`;
    const shift = primitive === Primitive.Shift;
    const source = `${parts}: Horowitz, ISSCC 2014${shift ? '; shift: ShiftAddNet (NeurIPS 2020) table 1' : ''}`;
    const { settledPj, unitDelayPj } = elementEnergyPj(gates, element);
    const isAnchor = primitive === gates.energyAnchor.primitive && bits === gates.energyAnchor.bits;
    const energies =
      energyPj === undefined || isAnchor
        ? []
        : [
            {
              name: `${name}: energy, settled`,
              source,
              ours: settledPj,
              published: energyPj,
              unit: 'pJ',
            },
            {
              ...{ name: `${name}: energy, glitches`, source, ours: unitDelayPj, published: energyPj },
              unit: 'pJ',
            },
          ];
    const areas =
      areaUm2 === undefined
        ? []
        : [
            {
              ...{ name: `${name}: area`, source, ours: elementAreaUm2(gates, element), published: areaUm2 },
              ...{ unit: 'um2', note: 'whole elements with registers beside bare operators' },
            },
          ];
    return [...energies, ...areas];
  });
}
