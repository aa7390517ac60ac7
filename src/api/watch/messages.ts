/**
 * Messages of watches, as bytes. All watches have one shape (header = 1, snapshot_started = 2, changes = 3,
 * snapshot_completed = 4, caught_up = 5, heartbeat = 6, reset = 7, fell_behind = 8; within changes rows = 1 and
 * removals = 2). A message is a header and an event one after the other, which protobuf allows: of the header only the
 * sequence is one client's own, the rest of it and the event are made once for however many get it. A test reads them with the generated types.
 */
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import {
  FellBehind,
  Heartbeat,
  Reset,
  type ResetReason,
  SnapshotCompleted,
  SnapshotStarted,
  WatchHeader,
} from '../../gen/tallyback/common/v1/watch.ts';
import { durationOf } from '../duration.ts';

const varint = (field: number): number => field << 3;
const lengthDelimited = (field: number): number => (field << 3) | 2;

const nothing = new Uint8Array();

const field = (number: number, bytes: Uint8Array): Uint8Array =>
  new BinaryWriter().uint32(lengthDelimited(number)).bytes(bytes).finish();

/** All of a header but its sequence. */
export const stamp = (header: Omit<WatchHeader, 'sequence'>): Uint8Array =>
  WatchHeader.encode({ ...header, sequence: 0n }).finish();

/** The whole message; `sequence` from 1 on. */
export function withHeader(sequence: number, stamp: Uint8Array, event: Uint8Array): Uint8Array {
  const headerLength = 1 + varintLength(sequence) + stamp.length;
  const start = 1 + varintLength(headerLength);
  const message = Buffer.allocUnsafe(start + headerLength + event.length);
  message[0] = lengthDelimited(1);
  writeVarint(message, 1, headerLength);
  message[start] = varint(1);
  const stamped = writeVarint(message, start + 1, sequence);
  message.set(stamp, stamped);
  message.set(event, stamped + stamp.length);
  return message;
}

function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) length++;
  return length;
}

/** Answers where it ends. */
function writeVarint(target: Buffer, at: number, value: number): number {
  let [rest, end] = [value, at];
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) target[end++] = (rest % 0x80) | 0x80;
  target[end++] = rest;
  return end;
}

export const snapshotStarted = (generation: string): Uint8Array =>
  field(2, SnapshotStarted.encode({ generation }).finish());

/** `rows` and `removals` are messages. */
export function changes(rows: readonly Uint8Array[], removals: readonly Uint8Array[] = []): Uint8Array {
  const writer = new BinaryWriter();
  for (const row of rows) writer.uint32(lengthDelimited(1)).bytes(row);
  for (const removal of removals) writer.uint32(lengthDelimited(2)).bytes(removal);
  return field(3, writer.finish());
}

export const snapshotCompleted = (rowCount: number): Uint8Array =>
  field(4, SnapshotCompleted.encode({ rowCount: BigInt(rowCount) }).finish());

export const caughtUp = field(5, nothing);

/** `nextWithin` and `lag` in milliseconds. */
export const heartbeat = (nextWithin: number): Uint8Array =>
  field(6, Heartbeat.encode({ nextWithin: durationOf(nextWithin) }).finish());

export const reset = (reason: ResetReason): Uint8Array => field(7, Reset.encode({ reason }).finish());

export const fellBehind = (lag: number | undefined): Uint8Array =>
  field(8, FellBehind.encode({ lag: lag === undefined ? undefined : durationOf(lag) }).finish());
