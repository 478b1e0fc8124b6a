import type { ByteCursor } from './byte-cursor.ts';
import { type Column, type ColumnType, columnTypeOfName, columnTypeOfOid } from './column-type.ts';

export interface Relation {
  readonly id: number;
  /** '' stands for pg_catalog. */
  readonly schema: string;
  readonly name: string;
  readonly columns: readonly Column[];
}

/** What the stream said of types that are not the server's own; it says so before the relation that uses them. */
export class TypeNames {
  private readonly types = new Map<number, ColumnType>();

  /** Reads a Type message after its first byte: the identifier, then schema and name of the base type. */
  read(cursor: ByteCursor): undefined {
    const oid = cursor.uint32();
    const schema = cursor.cString();
    this.types.set(oid, columnTypeOfName(schema, cursor.cString()));
    cursor.finish();
  }

  typeOf(oid: number): ColumnType {
    return this.types.get(oid) ?? columnTypeOfOid(oid);
  }
}

/** Reads a Relation message after its first byte. */
export function readRelation(cursor: ByteCursor, types: TypeNames): Relation {
  const id = cursor.uint32();
  const schema = cursor.cString();
  const name = cursor.cString();
  cursor.skip(1); // replica identity
  const columns: Column[] = [];
  for (let left = cursor.uint16(); left > 0; left--) {
    cursor.skip(1); // part of the key
    const column = cursor.cString();
    const type = types.typeOf(cursor.uint32());
    cursor.skip(4); // type modifier
    columns.push({ name: column, type });
  }
  cursor.finish();
  return { id, schema, name, columns };
}
