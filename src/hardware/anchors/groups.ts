/**
 * @file All anchors, group by group: what `shiftaddnas hw validate` prints.
 */
import type { Anchor } from './anchor.js';
import { chipPredictorAnchors } from './chip-predictor.js';
import { eyerissAlexNetAnchors, eyerissVggAnchors } from './eyeriss-chip.js';
import { eyerissEnergyAnchors } from './eyeriss-energy.js';
import { gateAnchors } from './gates.js';
import { paperAnchors } from './paper.js';
import { systolicAnchors } from './systolic.js';
import { timeloopAnchors } from './timeloop.js';

/** Figures of one origin. */
export interface AnchorGroup {
  readonly name: string;
  readonly anchors: () => readonly Anchor[];
  /** What the figures say together, one line each. */
  readonly remarks: readonly string[];
}

export const anchorGroups: readonly AnchorGroup[] = [
  { name: 'paper', anchors: paperAnchors, remarks: [] },
  { name: 'chip-predictor', anchors: chipPredictorAnchors, remarks: [] },
  {
    name: 'timeloop',
    anchors: timeloopAnchors,
    remarks: [
      'cycles and every access of the reference mappings are exact; energies differ in the last printed digit',
    ],
  },
  { name: 'scale-sim', anchors: systolicAnchors, remarks: [] },
  {
    name: 'eyeriss-energy',
    anchors: eyerissEnergyAnchors,
    remarks: [
      'schedules are taken from the published DRAM traffic, so that DRAM is no prediction; bounds are 0.1 of 10^9 multiplications, or 10 % ' +
        'where that is less',
      'buffer, array and sums have no bound, and miss: buffer and array together take 6 to 11 times what is published for convolutions, because ' +
        'the reproduction lets a row stay in a register file that holds a window of it, and so moves less; sums are up to 17 % above',
    ],
  },
  {
    name: 'eyeriss-alexnet',
    anchors: eyerissAlexNetAnchors,
    remarks: [
      'mappings are those that the published active elements and buffer traffic imply; our mapper finds the same for CONV1, CONV4 and ' +
        'CONV5; what time is missing (5 to 12 %) is 410 to 810 cycles in each pass over the array, which the model has no term for',
    ],
  },
  {
    name: 'eyeriss-vgg',
    anchors: eyerissVggAnchors,
    remarks: [
      'why the chip takes 1.17 to 4.9 times the time of the operations: its buffer traffic over its processing time is 14.8 to 15.3 bytes a ' +
        'cycle in CONV1-1 to CONV4-3, and the two buses for partial sums carry 16; per operation the traffic is that of adding up ' +
        'about 1, 1, 2, 4, 8 input channels (maps of 224, 112, 56, 28, 14) before partial sums go back to the buffer',
      'the 156 active elements up to CONV3-3: partial sums of 14 rows (14 x 3584 words) would fill all 25 banks of the buffer, those of 13 ' +
        'leave two for inputs',
      'max(arithmetic, traffic / 16 bytes a cycle) is 4 to 15 % below the chip in all 13 layers; it is a diagnosis from the published ' +
        "traffic, not a prediction of it, and so has no bound: our mapper's mappings of the same machine add up more channels and would be more than four times as fast in the widest layers",
    ],
  },
  {
    name: 'gates',
    anchors: gateAnchors,
    remarks: [
      'energies follow from the published 8-bit multiplication by the transistors that switch; those of 32 bits without shifts are predictions',
      '8-bit add elements accumulate 20 bits where the published figure has a 32-bit addition; shift elements carry a barrel shifter where a ' +
        'shift by a fixed distance was priced; areas have the registers and no optimised layout',
      'the published 32-bit multiplication and addition lie between our energies without short pulses (settled) and with all of them ' +
        '(glitches), the other operations do not; one published figure is too little for a bound',
    ],
  },
];
