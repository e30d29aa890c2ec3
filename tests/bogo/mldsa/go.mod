module filippo.io/mldsa

go 1.27
