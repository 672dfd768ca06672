/**
 * @file Writes an {@link OnnxGraph} as the bytes of an `.onnx` file: IR version 8 (the first with model-local
 * functions), operator set 17 of ONNX and version 1 of our own domain.
 */
import {
  ReferenceType,
  functionDomain,
  type Dimension,
  type OnnxAttribute,
  type OnnxData,
  type OnnxFunction,
  type OnnxGraph,
  type OnnxNode,
  type OnnxTensor,
  type OnnxValue,
} from './graph.js';
import { AttributeType, ElementType, modelProto } from './schema.js';

const irVersion = 8;
const operatorSets = [
  { domain: '', version: 17 },
  { domain: functionDomain, version: 1 },
];

/**
 * The bytes of the model.
 * @throws Error when the graph has no output, a node calls a function that was never added or leaves an attribute of
 *   it unset, or refers to an attribute that its function does not have.
 */
export function encodeOnnx(graph: OnnxGraph): Uint8Array {
  if (graph.outputs.length === 0) throw new Error(`ONNX graph ${graph.name}: it has no output`);
  checkNodes(graph.nodes, graph.functions, []);
  for (const { body, attributes } of graph.functions.values())
    checkNodes(body.nodes, graph.functions, attributes);
  return modelProto
    .encode({
      irVersion,
      producerName: 'shiftaddnas',
      graph: graphMessage(graph),
      opsetImport: operatorSets,
      metadataProps: [...graph.properties].map(([key, value]) => ({ key, value })),
      functions: [...graph.functions.values()].map(functionMessage),
    })
    .finish();
}

// A missing attribute would silently mean ONNX's default, so a runtime would compute something else without a word.
function checkNodes(
  nodes: readonly OnnxNode[],
  functions: ReadonlyMap<string, OnnxFunction>,
  own: readonly string[],
): void {
  for (const { name, opType, domain, attributes } of nodes) {
    const called = domain === functionDomain ? functions.get(opType) : undefined;
    if (domain !== '' && called === undefined)
      throw new Error(`ONNX node ${name}: no function ${domain}.${opType} in the model`);
    const missing = called?.attributes.find((attribute) => !(attribute in attributes));
    if (missing !== undefined)
      throw new Error(`ONNX node ${name}: attribute ${missing} of ${opType} is not set`);
    for (const value of Object.values(attributes)) {
      if ('graph' in value) checkNodes(value.graph.nodes, functions, own);
      if ('reference' in value && !own.includes(value.reference))
        throw new Error(`ONNX node ${name}: no function around it has an attribute ${value.reference}`);
    }
  }
}

function graphMessage(graph: OnnxGraph): object {
  return {
    name: graph.name,
    node: graph.nodes.map(nodeMessage),
    initializer: [...graph.initializers].map(([name, tensor]) => tensorMessage(name, tensor)),
    input: graph.inputs.map(valueMessage),
    output: graph.outputs.map(valueMessage),
  };
}

function functionMessage({ name, description, attributes, body }: OnnxFunction): object {
  return {
    name,
    domain: functionDomain,
    docString: description,
    input: body.inputs.map((value) => value.name),
    output: body.outputs.map((value) => value.name),
    attribute: attributes,
    node: body.nodes.map(nodeMessage),
    opsetImport: operatorSets,
  };
}

function nodeMessage(node: OnnxNode): object {
  return {
    name: node.name,
    opType: node.opType,
    domain: node.domain,
    input: node.inputs,
    output: [node.output, ...node.more],
    attribute: Object.entries(node.attributes).map(([name, value]) => ({ name, ...attributeMessage(value) })),
  };
}

function attributeMessage(value: OnnxAttribute): object {
  if ('int' in value) return { type: AttributeType.Int, i: value.int };
  if ('ints' in value) return { type: AttributeType.Ints, ints: value.ints };
  if ('float' in value) return { type: AttributeType.Float, f: value.float };
  if ('text' in value) return { type: AttributeType.String, s: Buffer.from(value.text, 'utf8') };
  if ('tensor' in value) return { type: AttributeType.Tensor, t: tensorMessage('', value.tensor) };
  if ('graph' in value) return { type: AttributeType.Graph, g: graphMessage(value.graph) };
  return { type: referenceTypes[value.type], refAttrName: value.reference };
}

const referenceTypes: Readonly<Record<ReferenceType, AttributeType>> = {
  [ReferenceType.Int]: AttributeType.Int,
  [ReferenceType.Ints]: AttributeType.Ints,
  [ReferenceType.Float]: AttributeType.Float,
};

function tensorMessage(name: string, { dims, data }: OnnxTensor): object {
  return {
    name,
    dims,
    dataType: elementTypeOf(data),
    rawData: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  };
}

function elementTypeOf(data: OnnxData): ElementType {
  if (data instanceof Float32Array) return ElementType.Float;
  if (data instanceof BigInt64Array) return ElementType.Int64;
  return data instanceof Int8Array ? ElementType.Int8 : ElementType.Uint8;
}

function valueMessage({ name, dims }: OnnxValue): object {
  const shape = dims === undefined ? {} : { shape: { dim: dims.map(dimensionMessage) } };
  return { name, type: { tensorType: { elemType: ElementType.Float, ...shape } } };
}

function dimensionMessage(dim: Dimension): object {
  return typeof dim === 'number' ? { dimValue: dim } : { dimParam: dim };
}
