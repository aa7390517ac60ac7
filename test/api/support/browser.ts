/** What a browser's EventSource does, by hand: bytes into events, and connecting again where it was. */
import { once } from 'node:events';
import { request, type IncomingHttpHeaders } from 'node:http';
import { connect } from 'node:net';

export interface StreamEvent {
  readonly name: string;
  readonly data: unknown;
  /** The last id that was sent up to it. */
  readonly id: string;
}

/** The event-stream format of the HTML standard, for streams whose lines end in line feeds. */
export class EventParser {
  readonly events: StreamEvent[] = [];
  lastEventId = '';
  retryMs: number | undefined;
  readonly #decoder = new TextDecoder('utf-8', { fatal: true });
  #rest = '';
  #id: string;
  #name = '';
  #data: string[] = [];

  constructor(lastEventId = '') {
    this.#id = lastEventId;
    this.lastEventId = lastEventId;
  }

  feed(bytes: Uint8Array): void {
    const lines = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#line(line);
  }

  #line(line: string): void {
    if (line === '') return this.#dispatch();
    const match = /^(id|event|data|retry): (.*)$/.exec(line);
    if (!match) throw new Error(`not a line of an event stream: ${JSON.stringify(line)}`);
    const [, field, value = ''] = match;
    if (field === 'id') this.#id = value;
    else if (field === 'event') this.#name = value;
    else if (field === 'data') this.#data.push(value);
    else this.retryMs = Number(value);
  }

  /** What is not ended by an empty line is not an event, and its id does not count. */
  #dispatch(): void {
    this.lastEventId = this.#id;
    if (this.#data.length > 0)
      this.events.push({ name: this.#name, data: JSON.parse(this.#data.join('\n')), id: this.lastEventId });
    this.#name = '';
    this.#data = [];
  }
}

export interface BrowsingOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly lastEventId?: string;
  /** Takes so many bytes of the stream and then cuts the connection; undefined: all there are. */
  readonly cutAfter?: number;
}

export class Browsing {
  status = 0;
  headers: IncomingHttpHeaders = {};
  /** All there was, if it was no stream. */
  body = '';
  bytes = 0;
  readonly parser: EventParser;
  /** Resolves when the connection is over, however. */
  readonly over: Promise<void>;
  #pause: () => void = () => undefined;
  #resume: () => void = () => undefined;
  #cut: () => void;

  constructor(address: string, path: string, options: BrowsingOptions = {}) {
    const { method = 'GET', headers = {}, lastEventId, cutAfter = Infinity } = options;
    this.parser = new EventParser(lastEventId);
    const sent = request(`http://${address}${path}`, {
      method,
      agent: false,
      headers: { ...headers, ...(lastEventId ? { 'last-event-id': lastEventId } : {}) },
    });
    this.#cut = () => sent.destroy();
    sent.on('error', () => undefined);
    sent.on('response', (response) => {
      this.status = response.statusCode ?? 0;
      this.headers = response.headers;
      this.#pause = () => response.pause();
      this.#resume = () => response.resume();
      const isStream = response.headers['content-type'] === 'text/event-stream';
      response.on('error', () => undefined);
      response.on('data', (chunk: Buffer) => {
        const taken = chunk.subarray(0, Math.max(0, cutAfter - this.bytes));
        this.bytes += taken.length;
        if (isStream) this.parser.feed(taken);
        else this.body += taken.toString();
        if (this.bytes >= cutAfter) sent.destroy();
      });
    });
    this.over = new Promise((resolve) => sent.on('close', resolve));
    sent.end();
  }

  get events(): readonly StreamEvent[] {
    return this.parser.events;
  }

  get words(): readonly string[] {
    return this.events.map(({ name }) => name);
  }

  get json(): Record<string, unknown> {
    return JSON.parse(this.body) as Record<string, unknown>;
  }

  pause(): void {
    this.#pause();
  }

  resume(): void {
    this.#resume();
  }

  cut(): void {
    this.#cut();
  }
}

/** Sends bytes as they are; gives what came until the other side closed, or `enough` of it. */
export async function rawly(
  address: string,
  bytes: string,
  enough: (answer: string) => boolean = () => false,
): Promise<string> {
  const [host = '', port = ''] = address.split(':');
  const socket = connect(Number(port), host);
  let answer = '';
  socket.on('error', () => undefined);
  socket.on('data', (chunk) => {
    answer += chunk.toString();
    if (enough(answer)) socket.destroy();
  });
  socket.write(bytes);
  await once(socket, 'close');
  return answer;
}

/** What a page that watches balances shows. */
export class BalancePage {
  #shown = new Map<string, string>();
  #staged: Map<string, string> | undefined;

  take({ name, data }: StreamEvent): void {
    if (name === 'snapshotStarted') this.#staged = new Map();
    if (name === 'snapshotCompleted' && this.#staged) {
      this.#shown = this.#staged;
      this.#staged = undefined;
    }
    if (name !== 'changes') return;
    const { balances } = data as { balances: { member: string; availableMinor: string }[] };
    for (const { member, availableMinor } of balances)
      (this.#staged ?? this.#shown).set(member, availableMinor);
  }

  /** The connection is gone: what was not completed is thrown away. */
  lost(): void {
    this.#staged = undefined;
  }

  get shown(): ReadonlyMap<string, string> {
    return this.#shown;
  }
}
