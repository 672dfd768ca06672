/**
 * @file From an architecture to its nodes: stem, blocks, classifier.
 */
import type { Architecture } from './architecture.js';
import { expandClassifier, expandStem } from './blocks/ends.js';
import { ruleOf } from './blocks/registry.js';
import { inputName, NodeList, type Node } from './nodes.js';

const known = new WeakMap<Architecture, readonly Node[]>();

/** The nodes of a network in order of execution; the last makes the logits. Expanded once per architecture. */
export function nodesOf(architecture: Architecture): readonly Node[] {
  let nodes = known.get(architecture);
  if (nodes === undefined) known.set(architecture, (nodes = expand(architecture)));
  return nodes;
}

function expand({ input, stem, blocks, classifier = {}, classes }: Architecture): readonly Node[] {
  const list = new NodeList(input);
  let last = stem === null ? inputName : expandStem(stem, list, inputName);
  blocks.forEach((block, at) => {
    list.block = at;
    last = ruleOf(block).expand(block, list, last);
  });
  list.block = null;
  expandClassifier(classifier, classes, list, last);
  return list.nodes;
}
