"""What every benchmark needs: errors, files, devices, command lines, results, tables, provenance."""
