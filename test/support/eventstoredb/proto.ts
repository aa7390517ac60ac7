/** The little of protobuf's encoding that the hot paths need; rare messages go through the client's generated code. */

/** A varint that is not a safe integer arrives rounded; nothing compares such numbers exactly. */
export class Fields {
  /** Of the field `next` found. */
  number = 0;
  #at = 0;
  #wireType = 0;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  next(): boolean {
    if (this.#at >= this.#bytes.length) return false;
    const tag = this.varint();
    this.number = Math.floor(tag / 8);
    this.#wireType = tag % 8;
    return true;
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw new Error('message ends in a varint');
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
  }

  /** Not a copy. */
  bytes(): Buffer {
    const length = this.varint();
    const start = this.#at;
    this.#at += length;
    if (this.#at > this.#bytes.length) throw new Error('message ends in a field');
    return this.#bytes.subarray(start, this.#at);
  }

  /** For numbers that use all 64 bits. */
  bigVarint(): bigint {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw new Error('message ends in a varint');
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  }

  string(): string {
    return this.bytes().toString('utf8');
  }

  skip(): void {
    if (this.#wireType === 0) this.varint();
    else if (this.#wireType === 1) this.#at += 8;
    else if (this.#wireType === 2) this.bytes();
    else if (this.#wireType === 5) this.#at += 4;
    else throw new Error(`wire type ${this.#wireType}`);
  }
}

export function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest > 127; rest = Math.floor(rest / 128)) size++;
  return size;
}

/** Returns where the next byte goes. */
export function writeVarint(into: Buffer, at: number, value: number): number {
  let rest = value;
  let next = at;
  while (rest > 127) {
    into[next++] = (rest % 128) | 0x80;
    rest = Math.floor(rest / 128);
  }
  into[next++] = rest;
  return next;
}

/** A length-delimited field of field number < 16. */
export function bytesField(number: number, value: Uint8Array | string): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value;
  const field = Buffer.allocUnsafe(1 + varintSize(bytes.length) + bytes.length);
  field[0] = number * 8 + 2;
  field.set(bytes, writeVarint(field, 1, bytes.length));
  return field;
}

/** A varint field of field number < 16; written also when 0, as members of a oneof are. */
export function numberField(number: number, value: number): Buffer {
  const field = Buffer.allocUnsafe(1 + varintSize(value));
  field[0] = number * 8;
  writeVarint(field, 1, value);
  return field;
}

/** A field of an embedded message made of these fields. */
export const messageField = (number: number, ...fields: readonly Buffer[]): Buffer =>
  bytesField(number, Buffer.concat(fields));
