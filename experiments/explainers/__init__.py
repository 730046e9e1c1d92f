"""What the three levels have learned, shown on tissue and measured beside a control.

One file a level measures it (`keywords`, `anchors`, `regions`), one draws it (`..._figures`).
"""
