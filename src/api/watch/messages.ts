/**
 * Messages of watches, as bytes. All watches have one shape (header = 1, snapshot_started = 2, changes = 3,
 * snapshot_completed = 4, caught_up = 5, heartbeat = 6, reset = 7; rows = 1 within changes), so they are put together here,
 * out of rows that are encoded once however many clients get them. A test reads them with the generated types.
 */
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { WatchHeader } from '../../gen/tallyback/common/v1/watch.ts';

const lengthDelimited = (field: number): number => (field << 3) | 2;

const nothing = new Uint8Array();

function message(header: WatchHeader, field: number, write: (writer: BinaryWriter) => void): Uint8Array {
  const writer = new BinaryWriter();
  WatchHeader.encode(header, writer.uint32(lengthDelimited(1)).fork()).join();
  writer.uint32(lengthDelimited(field));
  write(writer);
  return writer.finish();
}

const empty = (header: WatchHeader, field: number): Uint8Array =>
  message(header, field, (writer) => writer.bytes(nothing));

export const snapshotStarted = (header: WatchHeader): Uint8Array => empty(header, 2);

export const changes = (header: WatchHeader, rows: readonly Uint8Array[]): Uint8Array =>
  message(header, 3, (writer) => {
    writer.fork();
    for (const row of rows) writer.uint32(lengthDelimited(1)).bytes(row);
    writer.join();
  });

export const snapshotCompleted = (header: WatchHeader, rowCount: number): Uint8Array =>
  message(header, 4, (writer) => {
    writer.fork();
    if (rowCount > 0) writer.uint32(8).int64(rowCount);
    writer.join();
  });

export const caughtUp = (header: WatchHeader): Uint8Array => empty(header, 5);

export const heartbeat = (header: WatchHeader): Uint8Array => empty(header, 6);

export const reset = (header: WatchHeader): Uint8Array => empty(header, 7);

/** Encodes rows, each object once for as long as it lives. */
export function rowEncoder<Row extends object>(encode: (row: Row) => Uint8Array): (row: Row) => Uint8Array {
  const known = new WeakMap<Row, Uint8Array>();
  return (row) => {
    let bytes = known.get(row);
    if (!bytes) known.set(row, (bytes = encode(row)));
    return bytes;
  };
}
