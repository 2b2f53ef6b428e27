"""JSON that models write, and the schemas it has to match."""

from .coercion import JsonSchema as JsonSchema
from .repair import value_in as value_in
from .schema_check import check_schema as check_schema
from .schema_check import lookup_in as lookup_in
from .schema_check import parts as parts
