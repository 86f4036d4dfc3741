"""SOQL: text → tokens → syntax tree → rows ("SOQL and SOSL Reference", SELECT)."""
