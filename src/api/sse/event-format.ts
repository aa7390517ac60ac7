/**
 * Messages of a watch in the text/event-stream format: `id` is the resume token where there is one, `event` the case of
 * the message, `data` what is in it, as proto JSON on one line. Every field is there, so that a row is whole.
 */
import { type DescMessage, fromBinary, toJson } from '@bufbuild/protobuf';
import { BinaryReader } from '@bufbuild/protobuf/wire';
import { WatchHeader } from '../../gen/tallyback/common/v1/watch.ts';

export const eventText = (name: string, data: unknown): string =>
  `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;

export const retryText = (ms: number): string => `retry: ${ms}\n`;

/** Of the messages of one watch, however many look at it. */
export class EventFormat {
  readonly #descriptor: DescMessage;
  /** Those who see the same get it one after the other: it becomes text once. */
  #last: { readonly event: Uint8Array; readonly text: string } = { event: new Uint8Array(), text: '' };

  constructor(response: DescMessage) {
    this.#descriptor = response;
  }

  /** A message is a header, field 1, and an event: see messages.ts. */
  textOf(message: Uint8Array): string {
    const reader = new BinaryReader(message);
    reader.tag();
    const { resumeToken } = WatchHeader.decode(reader.bytes());
    const event = message.subarray(reader.pos);
    if (Buffer.compare(event, this.#last.event) !== 0) this.#last = { event, text: this.#textOf(event) };
    return resumeToken === '' ? this.#last.text : `id: ${resumeToken}\n${this.#last.text}`;
  }

  #textOf(event: Uint8Array): string {
    const json = toJson(this.#descriptor, fromBinary(this.#descriptor, event), { alwaysEmitImplicit: true });
    const [[name, data] = ['message', {}]] = Object.entries(json ?? {});
    return eventText(name, data);
  }
}
