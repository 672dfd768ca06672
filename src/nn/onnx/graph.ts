/**
 * @file An ONNX model as plain data, built one node at a time: the bottom of every `lower` of an operator family.
 *
 * Names follow one rule throughout: a layer's node and its output carry the same name, so that a viewer shows the
 * names of the architecture and a node can be found from the value it makes. Values of a graph must be defined before
 * they are used, which keeps the node list in the topological order that ONNX demands. The checks guard against defects
 * of the caller, not of the user, so they throw plain errors.
 *
 * The same class describes the main graph, the body of a model-local function (no initializers; attributes are read
 * by reference) and the body of a Scan or Loop (may read values of the graph around it).
 * Source: the ONNX intermediate representation, docs/IR.md of github.com/onnx/onnx.
 */
import { ShapeError } from '../../base/errors.js';
import { sizeOf } from '../../tensor/shape.js';

/** Domain of the model-local functions of this project. */
export const functionDomain = 'shiftaddnas';

/** A fixed size, or the name of one that is known when the model runs (`batch`). */
export type Dimension = number | string;

/** Elements of float32, int64, int8 or uint8. */
export type OnnxData = Float32Array | BigInt64Array | Int8Array | Uint8Array;

export interface OnnxTensor {
  readonly dims: readonly number[];
  readonly data: OnnxData;
}

/** Which attribute of a function a node inside its body reads. */
export enum ReferenceType {
  Int = 'int',
  Ints = 'ints',
  Float = 'float',
}

/** The value of a node's attribute; the key says its ONNX type. */
export type OnnxAttribute =
  | { readonly int: number }
  | { readonly ints: readonly number[] }
  | { readonly float: number }
  | { readonly text: string }
  | { readonly tensor: OnnxTensor }
  | { readonly graph: OnnxGraph }
  | { readonly reference: string; readonly type: ReferenceType };

export type OnnxAttributes = Readonly<Record<string, OnnxAttribute>>;

export interface OnnxNode {
  readonly name: string;
  readonly opType: string;
  /** '' is ONNX's default domain. */
  readonly domain: string;
  /** Value names; '' leaves an optional input out. */
  readonly inputs: readonly string[];
  readonly output: string;
  /** Further outputs, behind the first. */
  readonly more: readonly string[];
  readonly attributes: OnnxAttributes;
}

/** An input or output of a graph, float32. Without `dims` the shape is left to inference. */
export interface OnnxValue {
  readonly name: string;
  readonly dims: readonly Dimension[] | undefined;
}

/** A model-local function: one node in the graph that calls it, made of standard operators only. */
export interface OnnxFunction {
  readonly name: string;
  /** Shown by viewers beside the node. */
  readonly description: string;
  /** Names of the attributes a call sets. */
  readonly attributes: readonly string[];
  /** Its inputs and outputs are those of the function, by position. */
  readonly body: OnnxGraph;
}

export interface NodeOptions {
  /** Name of the node and of its output; made up from the operator when absent. */
  readonly name?: string;
  /** Names of further outputs, behind the first. */
  readonly alsoMakes?: readonly string[];
  /** Domain of the operator, {@link functionDomain} for functions; ONNX's own when absent. */
  readonly domain?: string;
}

/** A graph under construction, and afterwards the data that `encodeOnnx` writes. */
export class OnnxGraph {
  readonly #inputs: OnnxValue[] = [];
  readonly #outputs: OnnxValue[] = [];
  readonly #initializers = new Map<string, OnnxTensor>();
  readonly #nodes: OnnxNode[] = [];
  readonly #functions = new Map<string, OnnxFunction>();
  readonly #properties = new Map<string, string>();
  readonly #values = new Set<string>();
  #unnamed = 0;

  /**
   * @param name of the graph, shown by viewers
   * @param outer graph whose values the nodes of this one may read too (bodies of Scan, Loop, If)
   */
  constructor(
    readonly name: string,
    private readonly outer?: OnnxGraph,
  ) {
    checkName(name, 'graph');
  }

  /** Declares an input of the graph and returns its name. */
  input(name: string, dims?: readonly Dimension[]): string {
    this.#inputs.push({ name: this.#define(name, 'input'), dims: checkDims(name, dims) });
    return name;
  }

  /** Declares that the value `name`, already made by a node, leaves the graph. */
  output(name: string, dims?: readonly Dimension[]): void {
    if (!this.#values.has(name)) throw new Error(`ONNX output ${quote(name)}: no node makes this value`);
    if (this.#outputs.some((other) => other.name === name))
      throw new Error(`ONNX output ${quote(name)}: declared twice`);
    this.#outputs.push({ name, dims: checkDims(name, dims) });
  }

  /** Stores a constant tensor (row-major) and returns its name. The data are kept, not copied. */
  initializer(name: string, dims: readonly number[], data: OnnxData): string {
    checkTensor(name, { dims, data });
    this.#initializers.set(this.#define(name, 'initializer'), { dims, data });
    return name;
  }

  /**
   * Adds a node and returns the name of its first output, which is also the node's.
   * @param inputs names of values defined before; '' leaves an optional input out
   */
  node(
    opType: string,
    inputs: readonly string[],
    attributes: OnnxAttributes = {},
    options: NodeOptions = {},
  ): string {
    checkName(opType, 'operator');
    const domain = options.domain ?? '';
    if (domain !== '') checkName(domain, 'domain');
    const name = options.name ?? this.#freshName(opType);
    for (const input of inputs)
      if (input !== '' && !this.#knows(input))
        throw new Error(`ONNX node ${quote(name)}: input ${quote(input)} is not defined yet`);
    for (const [key, value] of Object.entries(attributes)) {
      checkName(key, 'attribute');
      if ('tensor' in value) checkTensor(`${name}.${key}`, value.tensor);
    }
    const output = this.#define(name, 'node');
    const more = (options.alsoMakes ?? []).map((value) => this.#define(value, 'node'));
    this.#nodes.push({ name, opType, domain, inputs, output, more, attributes });
    return output;
  }

  /**
   * Makes a model-local function available to nodes of the domain {@link functionDomain}; adding the same definition
   * again changes nothing. Only the main graph keeps functions.
   */
  useFunction(definition: OnnxFunction): void {
    const { name, body } = definition;
    checkName(name, 'function');
    const known = this.#functions.get(name);
    if (known === definition) return;
    if (known !== undefined)
      throw new Error(`ONNX function ${quote(name)}: another definition has this name already`);
    if (this.outer !== undefined) throw new Error('ONNX functions belong to the main graph');
    if (body.initializers.size > 0 || body.functions.size > 0)
      throw new Error(`ONNX function ${quote(name)}: a body holds neither initializers nor functions`);
    if (body.outputs.length === 0) throw new Error(`ONNX function ${quote(name)}: the body has no output`);
    this.#functions.set(name, definition);
  }

  /** Sets a metadata property of the model. @throws Error when the key is set already. */
  metadata(key: string, value: string): void {
    if (key === '') throw new Error('ONNX metadata: the key is empty');
    if (this.#properties.has(key)) throw new Error(`ONNX metadata ${quote(key)}: set already`);
    this.#properties.set(key, value);
  }

  get inputs(): readonly OnnxValue[] {
    return this.#inputs;
  }
  get outputs(): readonly OnnxValue[] {
    return this.#outputs;
  }
  get initializers(): ReadonlyMap<string, OnnxTensor> {
    return this.#initializers;
  }
  get nodes(): readonly OnnxNode[] {
    return this.#nodes;
  }
  get functions(): ReadonlyMap<string, OnnxFunction> {
    return this.#functions;
  }
  get properties(): ReadonlyMap<string, string> {
    return this.#properties;
  }

  #knows(value: string): boolean {
    return this.#values.has(value) || (this.outer !== undefined && this.outer.#knows(value));
  }

  #define(name: string, kind: string): string {
    checkName(name, kind);
    if (this.#knows(name)) throw new Error(`ONNX ${kind} ${quote(name)}: this name is taken already`);
    this.#values.add(name);
    return name;
  }

  #freshName(opType: string): string {
    for (;;) {
      const name = `${opType}_${this.#unnamed++}`;
      if (!this.#knows(name)) return name;
    }
  }
}

// ONNX asks for C identifiers; the dots and slashes of module paths are what every exporter writes and every tool reads.
const namePattern = /^\w[\w./:-]*$/;

function checkName(name: string, kind: string): void {
  if (!namePattern.test(name))
    throw new Error(`ONNX ${kind} name ${quote(name)}: use letters, digits and _ . / : - only`);
}

function checkDims(name: string, dims: readonly Dimension[] | undefined): readonly Dimension[] | undefined {
  for (const dim of dims ?? [])
    if (typeof dim === 'string') checkName(dim, 'dimension');
    else if (!isSize(dim)) throw new Error(`ONNX value ${quote(name)}: ${dim} is not a dimension`);
  return dims;
}

function checkTensor(name: string, { dims, data }: OnnxTensor): void {
  if (!dims.every(isSize) || sizeOf(dims) !== data.length)
    throw new ShapeError(
      `ONNX tensor ${quote(name)}: ${data.length} values do not fill [${dims.join(', ')}]`,
    );
}

function isSize(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function quote(text: string): string {
  return JSON.stringify(text);
}
