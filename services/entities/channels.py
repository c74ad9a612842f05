"""Where what is not the school's to change may be changed: the names operators know.

O: a person's identity changes only in VervalPD or VervalPTK, school identity and coordinates only in VervalSP, jenis
PTK, status and assignments only at the Dinas; all come down by tarik data.
"""

VERVAL_PD = "VervalPD"
VERVAL_PTK = "VervalPTK"
VERVAL = "VervalPD/VervalPTK"
VERVAL_SP = "VervalSP"
DINAS = "Dinas (KK-Datadik)"
PUSAT = "Pusat"
