/**
 * @file The part of the ONNX file format that we write and read, as a protobuf descriptor. Field numbers are those of
 * the public schema, onnx/onnx.proto of github.com/onnx/onnx; fields that we neither set nor look at are left out.
 */
import protobuf from 'protobufjs/light.js';

/** `AttributeProto.AttributeType`. */
export enum AttributeType {
  Float = 1,
  Int = 2,
  String = 3,
  Tensor = 4,
  Graph = 5,
  Ints = 7,
}

/** `TensorProto.DataType`. */
export enum ElementType {
  Float = 1,
  Uint8 = 2,
  Int8 = 3,
  Uint16 = 4,
  Int16 = 5,
  Int32 = 6,
  Int64 = 7,
  Bool = 9,
  Float16 = 10,
  Double = 11,
  Uint32 = 12,
  Uint64 = 13,
  BFloat16 = 16,
}

type Field = readonly [type: string, id: number];

const messages: Readonly<Record<string, Readonly<Record<string, Field>>>> = {
  ModelProto: {
    irVersion: ['int64', 1],
    producerName: ['string', 2],
    graph: ['GraphProto', 7],
    opsetImport: ['OperatorSetIdProto[]', 8],
    metadataProps: ['StringStringEntryProto[]', 14],
    functions: ['FunctionProto[]', 25],
  },
  OperatorSetIdProto: { domain: ['string', 1], version: ['int64', 2] },
  StringStringEntryProto: { key: ['string', 1], value: ['string', 2] },
  GraphProto: {
    node: ['NodeProto[]', 1],
    name: ['string', 2],
    initializer: ['TensorProto[]', 5],
    valueInfo: ['ValueInfoProto[]', 13],
    input: ['ValueInfoProto[]', 11],
    output: ['ValueInfoProto[]', 12],
  },
  FunctionProto: {
    name: ['string', 1],
    input: ['string[]', 4],
    output: ['string[]', 5],
    attribute: ['string[]', 6],
    node: ['NodeProto[]', 7],
    docString: ['string', 8],
    opsetImport: ['OperatorSetIdProto[]', 9],
    domain: ['string', 10],
  },
  NodeProto: {
    input: ['string[]', 1],
    output: ['string[]', 2],
    name: ['string', 3],
    opType: ['string', 4],
    attribute: ['AttributeProto[]', 5],
    domain: ['string', 7],
  },
  AttributeProto: {
    name: ['string', 1],
    f: ['float', 2],
    i: ['int64', 3],
    s: ['bytes', 4],
    t: ['TensorProto', 5],
    g: ['GraphProto', 6],
    floats: ['float[]', 7],
    ints: ['int64[]', 8],
    type: ['int32', 20],
    refAttrName: ['string', 21],
  },
  TensorProto: {
    dims: ['int64[]', 1],
    dataType: ['int32', 2],
    floatData: ['float[]', 4],
    int32Data: ['int32[]', 5],
    int64Data: ['int64[]', 7],
    name: ['string', 8],
    rawData: ['bytes', 9],
    doubleData: ['double[]', 10],
    externalData: ['StringStringEntryProto[]', 13],
  },
  ValueInfoProto: { name: ['string', 1], type: ['TypeProto', 2] },
  TypeProto: { tensorType: ['TypeProtoTensor', 1] },
  TypeProtoTensor: { elemType: ['int32', 1], shape: ['TensorShapeProto', 2] },
  TensorShapeProto: { dim: ['TensorShapeProtoDimension[]', 1] },
  TensorShapeProtoDimension: { dimValue: ['int64', 1], dimParam: ['string', 2] },
};

// proto2 rules: a value that was set is written even when it is 0 or '', because checkers count the value fields of an
// attribute and find none in one whose zero was left out.
const edition = 'proto2';

/** The protobuf type of a whole ONNX file. */
export const modelProto = protobuf.Root.fromJSON({
  nested: Object.fromEntries(
    Object.entries(messages).map(([message, fields]) => [message, { edition, fields: descriptors(fields) }]),
  ),
}).lookupType('ModelProto');

function descriptors(fields: Readonly<Record<string, Field>>): Record<string, protobuf.IField> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, [type, id]]) => [
      name,
      type.endsWith('[]') ? { rule: 'repeated', type: type.slice(0, -2), id } : { type, id },
    ]),
  );
}
