/**
 * @file Calls of the module's ops: buffers and numbers are written where the module expects them, and its answer is turned
 * into a number or an error, the same errors that the addon throws.
 */
import type { CompiledOp, CompiledOps } from '../compiled/kernels.js';
import { badCall, noMemory, Status, type Instance } from './instance.js';
import { Staging } from './staging.js';

type Parameters = readonly (Float32Array | Int32Array | number)[];

/** An op of the table: its place, and which buffers of one item hold integers. */
interface Op {
  readonly index: number;
  readonly name: string;
  readonly integers: readonly boolean[];
}

/** Where a call is written: the views of sa_call_room. */
interface Room {
  readonly size: number;
  readonly numbers: Float64Array;
  readonly addresses: Uint32Array;
  readonly lengths: Uint32Array;
}

/** Every op of the module's table by name. `afterOp` runs after each. */
export function opsOf(instance: Instance, afterOp: () => void): CompiledOps {
  const { exports } = instance;
  const call = caller(instance, afterOp);
  const ops: Record<string, CompiledOp> = {};
  for (let index = 0; index < exports.sa_op_count(); index++) {
    const name = instance.text(exports.sa_op_name(index));
    const integers = Array.from(
      { length: exports.sa_op_buffers(index) },
      (_, buffer) => exports.sa_op_holds_integers(index, buffer) !== 0,
    );
    const op = { index, name, integers };
    ops[name] = (...parameters) => call(op, parameters);
  }
  return ops as unknown as CompiledOps;
}

function caller(instance: Instance, afterOp: () => void): (op: Op, parameters: Parameters) => number {
  const { exports } = instance;
  let room: Room | undefined;

  const run = (op: Op, items: number): number => {
    const stack = exports.__stack_pointer.value;
    let status: Status;
    try {
      status = exports.sa_invoke(op.index, items);
    } catch (error) {
      exports.__stack_pointer.value = stack;
      exports.sa_recover();
      throw error;
    }
    afterOp();
    switch (status) {
      case Status.Done:
        return exports.sa_result();
      case Status.NoMemory:
        throw noMemory(`${op.name}: not enough memory for the work space`);
      case Status.BadCall:
        throw badCall(op.name, instance.text(exports.sa_message()));
      case Status.BadIndex:
        throw badCall(op.name, instance.text(exports.sa_message()), RangeError);
      case Status.ThreadFailed:
        throw new Error(`${op.name}: a thread of the WebAssembly engine failed`);
    }
  };

  return (op, parameters) => {
    const items = exports.sa_op_items(op.index, parameters.length);
    if (items < 0) throw badCall(op.name, 'wrong number of arguments');
    if (room === undefined || room.size < parameters.length) {
      room = undefined;
      room = roomFor(instance, op.name, parameters.length);
    }
    const { addresses, lengths, numbers } = room;
    const buffers = items * op.integers.length;
    const foreign: ArrayBufferView[] = [];
    for (let i = 0; i < buffers; i++) {
      const buffer = parameters[i];
      if (!isArray(buffer, op.integers[i % op.integers.length]!))
        throw badCall(op.name, 'an argument is not the typed array it should be');
      lengths[i] = buffer.length;
      addresses[i] = buffer.byteOffset;
      if (!instance.owns(buffer)) foreign.push(buffer);
    }
    for (let i = buffers; i < parameters.length; i++) {
      const number = parameters[i];
      if (typeof number !== 'number') throw badCall(op.name, 'an argument is not a number');
      numbers[i - buffers] = number;
    }
    if (foreign.length === 0) return run(op, items);

    const staging = new Staging(instance, foreign);
    if (!staging.copyIn()) throw noMemory(`${op.name}: not enough memory for copies of the arguments`);
    try {
      for (let i = 0; i < buffers; i++) {
        const buffer = parameters[i] as Float32Array | Int32Array;
        if (!instance.owns(buffer)) addresses[i] = staging.addressOf(buffer);
      }
      const result = run(op, items);
      staging.copyOut();
      return result;
    } finally {
      staging.free();
    }
  };
}

function isArray(value: unknown, ofIntegers: boolean): value is Float32Array | Int32Array {
  return value instanceof (ofIntegers ? Int32Array : Float32Array);
}

/** Room for calls of some more than `size` buffers and numbers. */
function roomFor(instance: Instance, op: string, size: number): Room {
  const room = Math.max(64, 2 * size);
  const address = instance.exports.sa_call_room(room) >>> 0;
  if (address === 0) throw noMemory(`${op}: not enough memory for the arguments`);
  const { buffer } = instance.memory;
  return {
    size: room,
    numbers: new Float64Array(buffer, address, room),
    addresses: new Uint32Array(buffer, address + 8 * room, room),
    lengths: new Uint32Array(buffer, address + 12 * room, room),
  };
}
