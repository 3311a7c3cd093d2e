<#
.SYNOPSIS
Installs proxyd as a Windows service by NSSM, so that stopping the service drains.

.EXAMPLE
.\install-nssm.ps1 -Config C:\proxyd\proxyd.yaml -Start

.NOTES
Needs nssm.exe (https://nssm.cc, 2.24 or later) on the path or by -Nssm, and an administrator.
Remove it with: nssm stop proxyd; nssm remove proxyd confirm
#>
#Requires -RunAsAdministrator
param(
    [Parameter(Mandatory = $true)] [string] $Config,
    [string] $Name = "default",
    [string] $Python = (Get-Command python).Source,
    [string] $Nssm = "nssm.exe",
    [int] $DrainSeconds = 30,
    [string] $LogDirectory = (Join-Path $env:ProgramData "proxyd\logs"),
    [string[]] $More = @(),
    [switch] $Start
)
$ErrorActionPreference = "Stop"

$service = if ($Name -eq "default") { "proxyd" } else { "proxyd-$Name" }
$configPath = (Resolve-Path $Config).Path
$runDirectory = Join-Path $env:ProgramData "proxyd\run"
New-Item -ItemType Directory -Force -Path $LogDirectory, $runDirectory | Out-Null

function Invoke-Nssm {
    & $Nssm @args
    if ($LASTEXITCODE -ne 0) { throw "nssm $($args -join ' ') failed with exit code $LASTEXITCODE" }
}

& $Python -m proxyd validate -c $configPath
if ($LASTEXITCODE -ne 0) { throw "the configuration is not valid; nothing was installed" }

# As the C library takes a command line apart (CommandLineToArgvW).
function Format-Word([string] $word) {
    '"' + ($word -replace '(\\*)"', '$1$1\"' -replace '(\\+)$', '$1$1') + '"'
}

$words = @("-P", "-m", "proxyd", "start", "-c", $configPath, "--name", $Name, "--run-dir", $runDirectory,
    "--drain-time-s", "$DrainSeconds") + $More
$parameters = ($words | ForEach-Object { Format-Word $_ }) -join " "

Invoke-Nssm install $service $Python
# Not by nssm: what quotation marks become between PowerShell and a program depends on PowerShell's version.
Set-ItemProperty -Path "HKLM:\SYSTEM\CurrentControlSet\Services\$service\Parameters" -Name AppParameters `
    -Type String -Value $parameters
Invoke-Nssm set $service DisplayName "proxyd ($Name)"
Invoke-Nssm set $service Start SERVICE_AUTO_START
Invoke-Nssm set $service AppStderr (Join-Path $LogDirectory "$service.log")
# A stop is a Ctrl-C, which drains; NSSM waits that long, and only then ends the process.
Invoke-Nssm set $service AppStopMethodConsole (($DrainSeconds + 10) * 1000)
# Ctrl-C alone: the other ways to stop would end workers that still drain.
Invoke-Nssm set $service AppStopMethodSkip 14
Invoke-Nssm set $service AppExit Default Restart
Invoke-Nssm set $service AppExit 1 Exit
Invoke-Nssm set $service AppExit 2 Exit
Invoke-Nssm set $service AppRestartDelay 1000

if ($Start) { Invoke-Nssm start $service }
