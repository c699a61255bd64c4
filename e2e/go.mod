module github.com/sallyport/sallyport/e2e

go 1.26.8

replace github.com/sallyport/sallyport => ../

require github.com/sallyport/sallyport v0.0.0-00010101000000-000000000000

require github.com/letsencrypt/pebble/v2 v2.10.1 // indirect
