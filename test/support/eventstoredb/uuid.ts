/** `event_store.client.UUID`: text, or two signed 64-bit halves. */
import { bytesField, Fields, messageField } from './proto.ts';

/** As lower-case text. */
export function decodeUuid(bytes: Buffer): string {
  const fields = new Fields(bytes);
  while (fields.next()) {
    if (fields.number === 2) return fields.string().toLowerCase();
    if (fields.number === 1) return fromHalves(fields.bytes());
    fields.skip();
  }
  return '';
}

export const encodeUuid = (id: string): Buffer => bytesField(2, id);

export function encodeStructuredUuid(id: string): Buffer {
  const hex = id.replaceAll('-', '');
  return messageField(1, half(1, hex.slice(0, 16)), half(2, hex.slice(16)));
}

function half(number: number, hex: string): Buffer {
  const bytes: number[] = [number * 8];
  let rest = BigInt(`0x${hex}`);
  while (rest > 0x7fn) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}

function fromHalves(bytes: Buffer): string {
  const halves = [0n, 0n];
  const fields = new Fields(bytes);
  while (fields.next()) halves[fields.number - 1] = fields.bigVarint();
  const hex = halves.map((value) => BigInt.asUintN(64, value).toString(16).padStart(16, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
