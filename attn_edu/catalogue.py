"""All mechanisms, found through what the families export."""

import sys
from types import ModuleType

import attn_edu
from attn_edu.mechanism import Mechanism


def mechanisms() -> list[Mechanism]:
    """Return every mechanism's record, family by family, in the order of the export lines.

    A family is a subpackage that ``attn_edu`` imports and that exports mechanisms. A mechanism's record is the
    ``MECHANISM`` of the file that its NumPy function comes from.

    Returns
    -------
    records : list of Mechanism

    Examples
    --------
    >>> [record.name for record in mechanisms()][:3]
    ['weighted_sum', 'soft_dictionary', 'scaled_dot_product']
    """
    families = [
        value for value in vars(attn_edu).values() if isinstance(value, ModuleType) and hasattr(value, "__path__")
    ]
    records = {}
    for family in families:
        for export in vars(family).values():
            source = sys.modules.get(getattr(export, "__module__", None) or "")
            record = getattr(source, "MECHANISM", None)
            if isinstance(record, Mechanism) and record.reference is export:
                records[id(record)] = record
    return list(records.values())


def find(name: str) -> Mechanism:
    """Return the mechanism of that name.

    Parameters
    ----------
    name : str
        Name of its NumPy function, such as ``"scaled_dot_product"``.

    Returns
    -------
    record : Mechanism

    Raises
    ------
    ValueError
        If there is none of that name; the message lists those there are.

    Examples
    --------
    >>> find("scaled_dot_product").module.__name__
    'ScaledDotProduct'
    """
    records = {record.name: record for record in mechanisms()}
    if not isinstance(name, str) or name not in records:
        raise ValueError(f"name: wanted one of {', '.join(records)}, got {name!r}")
    return records[name]
