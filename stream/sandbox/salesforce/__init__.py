"""A local Salesforce: OAuth, REST, Collections, Composite, Bulk API 2.0, SOQL, limits, and faults on demand.

It is for the demo, the tests and the benchmark. `LocalSalesforce` runs one inside a process;
`python -m stream.sandbox.salesforce` runs one by itself. docs/reference/sandbox.md says what it can do.
"""

from stream.sandbox.salesforce.faults import Fault
from stream.sandbox.salesforce.options import Identity, Options
from stream.sandbox.salesforce.server import LocalSalesforce

__all__ = ["Fault", "Identity", "LocalSalesforce", "Options"]
