/**
 * @file Shift-add layers with learned shifts: ShiftAddNet (NeurIPS'20) over the shift layer of DeepShift-Q.
 *
 * The shift weights share a tensor with the other families, as pot.q does; the add layer's, whose shape is another, are
 * the layer's own.
 */
import type { OperatorFamily } from '../contract.js';
import { potQ } from '../pot-q/family.js';
import { addBehind } from './composite.js';

export const shiftAdd: OperatorFamily = {
  name: 'shiftadd',
  shortName: 'shiftadd',
  title: 'Shift-add (ShiftAddNet)',
  colour: '#8259b5',
  initialWeights: potQ.initialWeights,
  effectiveWeights: potQ.effectiveWeights,
  ...(potQ.project && { project: potQ.project }),
  sharing: potQ.sharing,
  ...(potQ.piecewise && { piecewise: potQ.piecewise }),
  ...addBehind(potQ),
};
