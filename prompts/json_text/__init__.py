"""JSON that models write, and the schemas that it must match."""

from .coercion import JsonSchema as JsonSchema
from .repair import extract_json as extract_json
from .schema_check import checked_schema as checked_schema
from .schema_check import reference_lookup as reference_lookup
from .schema_check import subschemas as subschemas
