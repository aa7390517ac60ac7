/** From the bytes of a record to a command, or to why there is none. Never throws for what a client may send. */
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { IngestRequest, IngestServiceService } from '../../gen/tallyback/ingest/v1/ingest_service.ts';
import { cleanText } from '../errors.ts';
import { validatorOf } from '../validation.ts';
import { prepareRecord, type PreparedRecord } from './record.ts';

export interface Unfit {
  readonly kind: 'unfit';
  /** 0: unknown. */
  readonly sequence: bigint;
  readonly reason: 'MALFORMED_RECORD' | 'INVALID_RECORD';
  readonly message: string;
  readonly field: string;
}

export type ReadRecord =
  Unfit | { readonly kind: 'fit'; readonly sequence: bigint; readonly prepared: PreparedRecord };

const validate = validatorOf(IngestServiceService.ingest.path);

export function readRecord(bytes: Buffer, now: () => Date): ReadRecord {
  const outcome = validate(bytes);
  if (outcome.kind === 'malformed') return malformed(bytes);
  let request: IngestRequest;
  try {
    request = IngestRequest.decode(bytes);
  } catch {
    return malformed(bytes);
  }
  const { sequence, record } = request;
  if (outcome.kind === 'invalid' || record === undefined) {
    const violation = outcome.kind === 'invalid' ? outcome.violations[0] : undefined;
    const field = violation?.field ?? 'record';
    return {
      kind: 'unfit',
      sequence,
      reason: 'INVALID_RECORD',
      message: cleanText(violation?.description ?? 'is required'),
      // As the unary call names it: without the name of the variant.
      field: cleanText(field.slice(field.indexOf('.') + 1)),
    };
  }
  return { kind: 'fit', sequence, prepared: prepareRecord(record, now) };
}

const malformed = (bytes: Uint8Array): Unfit => ({
  kind: 'unfit',
  sequence: sequenceIn(bytes),
  reason: 'MALFORMED_RECORD',
  message: 'the record does not decode',
  field: '',
});

/** The sequence number, if it stands before what cannot be read; 0: unknown. */
export function sequenceIn(bytes: Uint8Array): bigint {
  try {
    const reader = new BinaryReader(bytes);
    while (reader.pos < reader.len) {
      const [field, type] = reader.tag();
      if (field === 1 && type === WireType.Varint) return BigInt(reader.uint64());
      reader.skip(type, field);
    }
  } catch {
    // It does not.
  }
  return 0n;
}
