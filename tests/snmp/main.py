# Runs the trap script for each input, as the framework does for each request. Runs under MicroPython. Lines that begin
# with a colon are the answers; the others are the script's console output.
import json

import k8s_services_traps

with open("inputs.json") as file:
    inputs = json.loads(file.read())
for text in inputs:
    print(":" + k8s_services_traps.snmp_main(text))
