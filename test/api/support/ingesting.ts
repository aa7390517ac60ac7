/** A client of an Ingest stream; it may send any bytes. */
import { Client, type ClientDuplexStream, credentials, status, type StatusObject } from '@grpc/grpc-js';
import {
  IngestRequest,
  type IngestResponse,
  IngestServiceService,
} from '../../../src/gen/tallyback/ingest/v1/ingest_service.ts';
import { failureOf, type Failure } from './server.ts';

export type IngestRecord = NonNullable<IngestRequest['record']>;

export class Ingesting {
  readonly client: Client;
  readonly call: ClientDuplexStream<Buffer, IngestResponse>;
  readonly verdicts: IngestResponse[] = [];
  ended: Failure | 'OK' | undefined;
  #sequence = 0n;

  constructor(address: string, options: { paused?: boolean } = {}) {
    this.client = new Client(address, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
    const { path, responseDeserialize } = IngestServiceService.ingest;
    this.call = this.client.makeBidiStreamRequest(path, (b: Buffer) => b, responseDeserialize);
    this.call.on('error', () => undefined);
    this.call.on('status', (ended: StatusObject) => {
      this.ended = ended.code === status.OK ? 'OK' : failureOf(ended);
    });
    if (options.paused) this.call.once('data', () => this.call.pause());
    this.call.on('data', (response: IngestResponse) => this.verdicts.push(response));
  }

  /** Gives the sequence number it used. */
  send(record: IngestRecord): bigint {
    const sequence = ++this.#sequence;
    this.sendBytes(Buffer.from(IngestRequest.encode({ sequence, record }).finish()));
    return sequence;
  }

  sendBytes(bytes: Buffer): boolean {
    return this.call.write(bytes);
  }

  /** What each record got, by sequence: "accepted", "duplicate" or the reason of the refusal. */
  get outcomes(): Map<bigint, string> {
    return new Map(
      this.verdicts.map(({ sequence, verdict }) => [
        sequence,
        verdict?.$case === 'refused' ? verdict.value.reason : (verdict?.$case ?? 'nothing'),
      ]),
    );
  }

  close(): void {
    this.client.close();
  }
}
