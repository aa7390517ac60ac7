/** The contract at run time: descriptors of all messages and services. */
import { createFileRegistry, type DescMessage, type FileRegistry, fromBinary } from '@bufbuild/protobuf';
import { type FileDescriptorSet, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { descriptorSet } from '../gen/descriptors.ts';

export const descriptorBytes = Buffer.from(descriptorSet, 'base64');

export const contract: FileDescriptorSet = fromBinary(FileDescriptorSetSchema, descriptorBytes);

export const registry: FileRegistry = createFileRegistry(contract);

/** What a method takes. Throws for a path that the contract does not have: nothing is served unchecked. */
export function requestDescriptor(path: string, from: FileRegistry = registry): DescMessage {
  const [, service = '', name = ''] = path.split('/');
  const method = from.getService(service)?.methods.find((candidate) => candidate.name === name);
  if (!method) throw new Error(`the contract has no method ${path}`);
  return method.input;
}
